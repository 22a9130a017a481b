//! What a person at a machine's keyboard, screen and power button does, and having its kernel panic.

use std::time::Duration;

use super::{
    Env, EnvError, Selection, Vm, disk, error::chain, host::limits, parallel, select::made, site::Running,
};
use crate::{
    event::Trouble,
    provider::libvirt::{Connection, DomainState},
};

/// How long a key is held, and how long it is waited until the next one: guests have short queues for keys.
const HOLD: Duration = Duration::from_millis(20);
const BETWEEN: Duration = Duration::from_millis(40);

/// The keys that have Linux panic, where it heeds them; and how long a kernel may take for that, on a machine whose time
/// factor is 1.
const SYSRQ_CRASH: &str = "alt-sysrq-c";
const PANIC: Duration = Duration::from_secs(3);

impl Vm {
    /// Has its kernel panic; [`Vm::power_cut`] brings it back. No scenario is blamed for that panic. A guest that answers is
    /// told; to one that does not, SysRq and `c` are pressed on the keyboard, and then an NMI is sent. What they come to is
    /// up to its kernel: those of our images panic.
    ///
    /// # Errors
    /// It cannot be told in any way, or refuses.
    pub async fn crash(&self) -> Result<(), EnvError> {
        const WHAT: &str = "crash";
        self.expect(Trouble::Panic);
        let Err(source) = self.panic().await else { return Ok(()) };
        let refused = self.inside(WHAT, source);
        if !self.is_made() {
            return Err(refused);
        }
        tracing::info!(target: "polder", "{}: {}; pressing SysRq", self.name(), chain(&refused));
        self.press(SYSRQ_CRASH).await?;
        if self.panics_within(PANIC).await {
            return Ok(());
        }
        tracing::info!(target: "polder", "{}: it does not heed SysRq; sending an NMI", self.name());
        self.inject_nmi().await?;
        if self.panics_within(PANIC).await {
            return Ok(());
        }
        let why = "nor does its kernel panic at SysRq on its keyboard (the sysctl `kernel.sysrq` allows it) or at an NMI \
                   (`kernel.unknown_nmi_panic`)";
        Err(self.refuse(WHAT, format!("{}; {why}", chain(&refused))))
    }

    /// Sends a non-maskable interrupt (NMI) to its processors, as by the button of that name on servers. What that comes to
    /// is up to its kernel: those of our images panic, others may say a word on the console and go on.
    ///
    /// # Errors
    /// It is off, or libvirt refuses.
    pub async fn inject_nmi(&self) -> Result<(), EnvError> {
        let running = self.controlled("send an NMI to")?;
        let sent = running.connection.inject_nmi(self.domain(), limits::DOMAIN).await;
        sent.map_err(|error| running.explain(error))
    }

    /// Cuts its power and gives it back at once: it boots with what had reached its disks, and keeps what was attached to
    /// it. One that crashed or is paused goes on like that, too. Does not wait until it answers, see
    /// [`Guest::wait_for_ssh`](crate::guest::Guest::wait_for_ssh). To leave it off, see [`Env::stop`].
    ///
    /// # Errors
    /// It is off, or libvirt refuses.
    pub async fn power_cut(&self) -> Result<(), EnvError> {
        let (running, domain) = (self.controlled("cut the power of")?, self.domain());
        let connection = &running.connection;
        let reset = async {
            connection.reset_domain(domain, limits::DOMAIN).await?;
            match connection.domain_state(domain, limits::COMMAND).await? {
                DomainState::Running => Ok(()),
                _ => connection.resume_domain(domain, limits::DOMAIN).await,
            }
        };
        reset.await.map_err(|error| running.explain(error))?;
        self.is_now("rebooting");
        self.restarted().await;
        Ok(())
    }

    /// Presses keys together and lets go of them, such as `ctrl-alt-delete` or `ret`: the emulator's names, with `-`
    /// between them.
    ///
    /// # Errors
    /// It is off, or there is no such key.
    pub async fn press(&self, keys: &str) -> Result<(), EnvError> {
        let running = self.controlled("press keys of")?;
        self.press_all(&running.connection, &keys.split('-').collect::<Vec<_>>()).await
    }

    /// Types text, `\n` for the return key, as on an American keyboard.
    ///
    /// # Errors
    /// It is off; or there is a character no such keyboard has, and nothing was typed.
    pub async fn type_text(&self, text: &str) -> Result<(), EnvError> {
        let running = self.controlled("type on")?;
        let strokes: Result<Vec<_>, char> = text.chars().map(|c| stroke(c).ok_or(c)).collect();
        let strokes = strokes.map_err(|c| self.refuse("type on", format!("no key makes {c:?}")))?;
        for keys in strokes {
            self.press_all(&running.connection, &keys).await?;
        }
        Ok(())
    }

    /// What its screen shows, as PNG.
    ///
    /// # Errors
    /// It is off, or has no screen: that takes `graphics: true` in the init file.
    pub async fn screenshot(&self) -> Result<Vec<u8>, EnvError> {
        const WHAT: &str = "take a picture of the screen of";
        let running = self.controlled(WHAT)?;
        if !self.has_screen() {
            return Err(self.refuse(WHAT, "it has none; `graphics: true` in the init file gives it one"));
        }
        let image = running.connection.screenshot(self.domain(), limits::DOMAIN).await;
        image.map_err(|error| running.explain(error))
    }

    /// Whether it was asked for a screen.
    pub(super) fn has_screen(&self) -> bool {
        self.plan().domain.as_ref().is_some_and(|domain| domain.screen.is_some())
    }

    async fn press_all(&self, connection: &Connection, keys: &[&str]) -> Result<(), EnvError> {
        connection.press(self.domain(), keys, HOLD, limits::COMMAND).await?;
        tokio::time::sleep(BETWEEN).await;
        Ok(())
    }

    /// The lab, for what only libvirt can do with a machine.
    pub(super) fn controlled(&self, what: &'static str) -> Result<std::sync::Arc<Running>, EnvError> {
        self.require_made(what)?;
        self.site().running()
    }

    /// Says why that cannot be done with it as it is.
    pub(super) fn refuse(&self, what: &'static str, why: impl Into<String>) -> EnvError {
        EnvError::Control { what, machine: self.name().clone(), why: why.into() }
    }

    pub(super) fn inside(&self, what: &'static str, source: crate::guest::GuestError) -> EnvError {
        EnvError::Inside { what, machine: self.name().clone(), source: Box::new(source) }
    }
}

impl Env {
    /// Has the kernels of machines panic.
    ///
    /// # Errors
    /// Every machine of which that cannot be had.
    pub async fn crash(&self, selection: &Selection) -> Result<(), EnvError> {
        let each = |vm: Vm| async move { vm.crash().await };
        parallel::each(self.select(selection)?, each).await.map(drop)
    }

    /// Cuts the power of machines that run, crashed or are paused, and gives it back at once. Those that are off stay so.
    ///
    /// # Errors
    /// Every machine of which that cannot be had.
    pub async fn power_cut(&self, selection: &Selection) -> Result<(), EnvError> {
        let mut on = Vec::new();
        for vm in made(self.select(selection)?) {
            if self.state_of(&vm).await? != DomainState::Absent {
                on.push(vm);
            }
        }
        let each = |vm: Vm| async move { vm.power_cut().await };
        parallel::each(on, each).await.map(drop)
    }

    /// The socket on this host where a machine's screen is served as VNC, while it has one.
    ///
    /// # Errors
    /// libvirt does not answer.
    pub async fn screen(&self, vm: &Vm) -> Result<Option<std::path::PathBuf>, EnvError> {
        if !vm.has_screen() || self.state_of(vm).await? == DomainState::Absent {
            return Ok(None);
        }
        let running = self.site().running()?;
        let graphics = running.connection.graphics(vm.domain(), limits::COMMAND).await;
        let graphics = graphics.map_err(|error| running.explain(error))?;
        Ok(graphics.map(|graphics| disk::outside(self, &graphics.socket)))
    }
}

/// The keys that make a character on an American keyboard.
fn stroke(c: char) -> Option<Vec<&'static str>> {
    const PLAIN: &[(char, &str)] = &[
        ('\n', "ret"),
        ('\t', "tab"),
        (' ', "spc"),
        ('-', "minus"),
        ('=', "equal"),
        ('[', "bracket_left"),
        (']', "bracket_right"),
        (';', "semicolon"),
        ('\'', "apostrophe"),
        ('`', "grave_accent"),
        ('\\', "backslash"),
        (',', "comma"),
        ('.', "dot"),
        ('/', "slash"),
    ];
    const SHIFTED: &[(char, char)] = &[
        ('_', '-'),
        ('+', '='),
        ('{', '['),
        ('}', ']'),
        (':', ';'),
        ('"', '\''),
        ('~', '`'),
        ('|', '\\'),
        ('<', ','),
        ('>', '.'),
        ('?', '/'),
        ('!', '1'),
        ('@', '2'),
        ('#', '3'),
        ('$', '4'),
        ('%', '5'),
        ('^', '6'),
        ('&', '7'),
        ('*', '8'),
        ('(', '9'),
        (')', '0'),
    ];
    const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
    if let Some((_, key)) = PLAIN.iter().find(|(plain, _)| *plain == c) {
        return Some(vec![key]);
    }
    if let Some(at) = LETTERS.find(c) {
        return LETTERS.get(at..=at).map(|key| vec![key]);
    }
    let shifted = SHIFTED.iter().find(|(shifted, _)| *shifted == c).map(|(_, plain)| *plain);
    let plain = shifted.or_else(|| c.is_ascii_uppercase().then(|| c.to_ascii_lowercase()))?;
    Some(std::iter::once("shift").chain(stroke(plain)?).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case('a', Some("a"))]
    #[case('Z', Some("shift z"))]
    #[case('7', Some("7"))]
    #[case('\n', Some("ret"))]
    #[case('|', Some("shift backslash"))]
    #[case('!', Some("shift 1"))]
    #[case('ü', None)]
    #[case('\u{7}', None)]
    fn characters_have_keys(#[case] c: char, #[case] keys: Option<&str>) {
        assert_eq!(stroke(c).map(|keys| keys.join(" ")).as_deref(), keys);
    }

    #[test]
    fn every_printable_character_can_be_typed() {
        assert!((' '..='~').all(|c| stroke(c).is_some()));
    }
}
