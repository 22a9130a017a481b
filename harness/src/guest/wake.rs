//! What a machine is told that goes on from an earlier moment: what time it is, and randomness that no other has that comes
//! from the same moment.
//!
//! Writing to `/dev/urandom` alone changes nothing for up to a minute, and no command that guests have says that it shall
//! count at once. So a program does it, and sets the clock while it is at it: a fork less matters where each takes a tenth of
//! a second. It is put into the machine's memory before the moment is kept, and is there when the machine goes on.

use std::time::{Duration, SystemTime};

use rustix::rand::{GetRandomFlags, getrandom};

use super::{Channel, Command, Guest, GuestError};
use crate::image::{self, Ability};

/// Instructions for x86-64: reads a `timespec` and 64 bytes, sets the clock (`clock_settime`), writes the bytes to
/// `/dev/urandom` and has the kernel draw from them (`RNDRESEEDCRNG`). Exits with the number of the error, and with 22 when
/// it was not given 80 bytes.
const CODE: &[u8] = &[
    0x48, 0x81, 0xec, 0x80, 0x00, 0x00, 0x00, // sub rsp, 128
    0x48, 0x89, 0xe3, // mov rbx, rsp
    0x31, 0xc0, 0x31, 0xff, 0x48, 0x89, 0xde, 0x6a, 0x50, 0x5a, 0x0f, 0x05, // read(0, rbx, 80)
    0x6a, 0x16, 0x5d, // mov ebp, EINVAL
    0x83, 0xf8, 0x50, 0x75, 0x4b, // cmp eax, 80; jne end
    0xb8, 0xe3, 0x00, 0x00, 0x00, 0x48, 0x89, 0xde, 0x0f, 0x05, // clock_settime(CLOCK_REALTIME, rbx)
    0x85, 0xc0, 0x78, 0x39, // test eax, eax; js failed
    0x6a, 0x02, 0x58, 0x48, 0x8d, 0x3d, 0x3a, 0x00, 0x00, 0x00, // rdi = path
    0x6a, 0x01, 0x5e, 0x0f, 0x05, // open(rdi, O_WRONLY)
    0x85, 0xc0, 0x78, 0x26, // test eax, eax; js failed
    0x89, 0xc7, // mov edi, eax
    0x6a, 0x01, 0x58, 0x48, 0x8d, 0x73, 0x10, 0x6a, 0x40, 0x5a, 0x0f, 0x05, // write(edi, rbx + 16, 64)
    0x85, 0xc0, 0x78, 0x14, // test eax, eax; js failed
    0x6a, 0x10, 0x58, 0xbe, 0x07, 0x52, 0x00, 0x00, 0x31, 0xd2, 0x0f,
    0x05, // ioctl(edi, RNDRESEEDCRNG, 0)
    0x85, 0xc0, 0x78, 0x04, // test eax, eax; js failed
    0x31, 0xed, 0xeb, 0x04, // xor ebp, ebp; jmp end
    0xf7, 0xd8, 0x89, 0xc5, // failed: ebp = -eax
    0x89, 0xef, 0x6a, 0x3c, 0x58, 0x0f, 0x05, // end: exit(ebp)
    b'/', b'd', b'e', b'v', b'/', b'u', b'r', b'a', b'n', b'd', b'o', b'm', 0,
];
/// Where it is loaded, and how long the headers before it are.
const BASE: u64 = 0x40_0000;
const HEADERS: u16 = 64 + 56;
/// The file that it is in.
const NAME: &str = "polder-wake";
/// Folders in which it may be: some machines run nothing from some.
const PLACES: &str = "/run /dev/shm /tmp /root";
/// Setting a clock and the like, on a machine whose time factor is 1.
const LIMIT: Duration = Duration::from_secs(20);

/// Getting addresses of other networks.
const ADDRESSED: Duration = Duration::from_secs(60);

/// Gives a machine another id, where it has one; systemd reads it when something asks.
const NEW_ID: &str =
    "umask 022; [ -s /etc/machine-id ] || { echo 'there is no /etc/machine-id' >&2; exit 1; }
tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id && cat /etc/machine-id";

/// The same without the program, as far as that goes. `$1` is in seconds after 1970.
const BY_HAND: &str = r#"cat > /dev/urandom; date -u -s "@$1""#;

impl Guest {
    /// Has the machine ready to be told by [`Guest::wake`] that it goes on from the moment that is kept next. Returns where
    /// its part is; none: it is told another way.
    pub(crate) async fn make_wakeable(&self) -> Option<String> {
        let script = format!(
            "for at in {PLACES}; do file=$at/{NAME}; printf '{}' > $file 2>/dev/null && chmod 700 $file && \
             {{ $file < /dev/null; [ $? = 22 ] && echo $file && exit; }}; rm -f $file; done 2>/dev/null; exit 1",
            octal(&program())
        );
        let command = Command::script(script).timeout(LIMIT).shown_as("make ready to be woken");
        match self.succeed(self.by_the_shortest(command)).await {
            Ok(file) => Some(file.trim().to_owned()),
            Err(error) => {
                tracing::debug!("{} is not made ready to be woken: {error}", self.name());
                None
            }
        }
    }

    /// Tells the machine that it has just gone on from an earlier moment: what time it is now, and randomness. `by` is what
    /// [`Guest::make_wakeable`] returned before that moment.
    ///
    /// # Errors
    /// The machine cannot be told in any way.
    pub(crate) async fn wake(&self, by: Option<&str>) -> Result<(), GuestError> {
        let mut random = [0; 64];
        // It does not fail where processes run; the time is told all the same.
        let _ = getrandom(&mut random, GetRandomFlags::empty());
        if let Some(file) = by {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            let told =
                [&seconds.to_le_bytes()[..], &i64::from(now.subsec_nanos()).to_le_bytes(), &random].concat();
            let command = Command::new(file).stdin(told).timeout(LIMIT).shown_as("wake");
            match self.succeed(self.by_the_shortest(command)).await {
                Ok(_) => return Ok(()),
                // Somebody has removed it, say.
                Err(error) => tracing::debug!("{} is woken by hand: {error}", self.name()),
            }
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let command = Command::script(BY_HAND).arg(now.to_string()).stdin(random).timeout(LIMIT);
        self.succeed(self.by_the_shortest(command.shown_as("wake"))).await.map(drop)
    }

    /// Tells the machine, which is of an image of ours and has gone on somewhere else than it was kept, where it is now: by
    /// `strings`, which say who it is. Returns when it has its addresses.
    ///
    /// # Errors
    /// It cannot be told, or does not get its addresses in time.
    pub(crate) async fn tell_identity(&self, strings: &[String]) -> Result<(), GuestError> {
        let command = Command::script(image::again()).stdin(strings.join("\n") + "\n").timeout(ADDRESSED);
        self.succeed(self.by_the_shortest(command.shown_as("tell where it is"))).await.map(drop)
    }

    /// Gives the machine another machine id (`/etc/machine-id`), and returns it. Machines that go on from the same state have
    /// the same one, as they have the same name and the same keys: whoever has several of them register somewhere by that id
    /// wants another. Services that have read it are not told.
    ///
    /// # Errors
    /// It has none, or cannot be told.
    pub async fn renew_machine_id(&self) -> Result<String, GuestError> {
        let command = Command::script(NEW_ID).timeout(LIMIT).shown_as("renew the machine id");
        Ok(self.succeed(command).await?.trim().to_owned())
    }

    /// By the agent where there is one: there is a connection already, and no handshake takes a second.
    fn by_the_shortest(&self, command: Command) -> Command {
        let by_agent = self.agent().is_some() && self.spec().abilities.has(Ability::AgentExec);
        if by_agent { command.over(Channel::Agent) } else { command }
    }
}

/// The program, as the file of an executable.
fn program() -> Vec<u8> {
    let length = u64::from(HEADERS) + u64::try_from(CODE.len()).unwrap_or_default();
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let half = |file: &mut Vec<u8>, values: &[u16]| {
        values.iter().for_each(|value| file.extend(value.to_le_bytes()));
    };
    let word = |file: &mut Vec<u8>, values: &[u32]| {
        values.iter().for_each(|value| file.extend(value.to_le_bytes()));
    };
    let long = |file: &mut Vec<u8>, values: &[u64]| {
        values.iter().for_each(|value| file.extend(value.to_le_bytes()));
    };
    // An executable for x86-64, its entry, its one program header, no sections.
    half(&mut file, &[2, 62]);
    word(&mut file, &[1]);
    long(&mut file, &[BASE + u64::from(HEADERS), 64, 0]);
    word(&mut file, &[0]);
    half(&mut file, &[64, 56, 1, 0, 0, 0]);
    // All of the file, to be read and executed.
    word(&mut file, &[1, 5]);
    long(&mut file, &[0, BASE, BASE, length, length, 0x1000]);
    file.extend(CODE);
    file
}

/// Bytes for the format of `printf`.
fn octal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:03o}")).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    use super::*;

    /// Writes the program as guests do, and runs it here.
    fn run(told: &[u8]) -> Option<i32> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(NAME);
        let script = format!("printf '{}' > \"$0\" && chmod 700 \"$0\"", octal(&program()));
        assert!(Command::new("sh").args(["-c", &script]).arg(&file).status().unwrap().success());
        assert_eq!(std::fs::read(&file).unwrap(), program());
        let mut child = Command::new(&file).stdin(Stdio::piped()).spawn().unwrap();
        // It may have ended already.
        let _ = child.stdin.take().unwrap().write_all(told);
        child.wait().unwrap().code()
    }

    #[test]
    fn it_refuses_what_is_no_time() {
        assert_eq!(run(b""), Some(22));
        assert_eq!(run(&[0; 79]), Some(22));
        // The system's own refusal of such a time, or of somebody who may not set one.
        let wrong = [&0_i64.to_le_bytes()[..], &(-1_i64).to_le_bytes(), &[0; 64]].concat();
        let may = rustix::process::geteuid().is_root();
        let refused = run(&wrong);
        assert!(refused == Some(22) || (!may && refused == Some(1)), "{refused:?}");
    }
}
