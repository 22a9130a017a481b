//! Values that are shown to nobody: those of variables that a file lists under `secrets`, and of those whose names say it.
//! They are used as they are and hidden from everything that is written. Pure.

use std::{collections::BTreeSet, fmt};

use super::{
    model::Changes,
    scope::{Seen, each},
    text::Vars,
};

/// What names of secrets end with, whether a file lists them or not.
const ENDINGS: &[&str] = &["password", "passwd", "passphrase", "secret", "token"];

/// What stands where a secret was.
const HIDDEN: &str = "***";

/// Texts that are shown to nobody, this value included.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// Longer ones first, of which shorter ones may be parts.
    values: Vec<String>,
}

impl Secrets {
    /// The values that secret variables have anywhere.
    pub(super) fn of(changes: &Changes, environment: &Vars) -> Self {
        let mut found = BTreeSet::new();
        let mut look = |vars: &Vars| {
            let secret = vars.iter().filter(|(key, value)| is_secret(key, changes) && !value.is_empty());
            found.extend(secret.map(|(_, value)| value.clone()));
        };
        look(environment);
        look(&changes.vars);
        for device in &changes.devices {
            look(&device.vars);
            look(&device.attributes);
        }
        changes.drivers.iter().for_each(|driver| look(&driver.vars));
        changes.matrices.iter().flat_map(|matrix| &matrix.rows).for_each(&mut look);
        each(&changes.scenario, &[], &mut |seen, _| match seen {
            Seen::Step(step) => {
                look(&step.vars);
                look(&step.template_vars);
            }
            Seen::Set(set) => look(&set.vars),
        });
        found.into_iter().collect()
    }

    /// These and more.
    pub(super) fn and(&self, more: impl Iterator<Item = String>) -> Self {
        self.values.iter().cloned().chain(more).collect()
    }

    /// The text without them.
    #[must_use]
    pub fn hide(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
    }
}

fn is_secret(key: &str, changes: &Changes) -> bool {
    let lower = key.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| lower.ends_with(ending)) || changes.secrets.iter().any(|name| name == key)
}

/// Lines of a secret that are shorter than this are no secret by themselves.
const SHORTEST_LINE: usize = 4;

/// A value in the forms in which it may stand in a text: as it is, as in a quoted text, line by line.
fn forms(value: String) -> impl Iterator<Item = String> {
    let quoted = format!("{value:?}");
    let quoted =
        quoted.strip_prefix('"').and_then(|quoted| quoted.strip_suffix('"')).unwrap_or(&quoted).to_owned();
    let lines: Vec<String> = value.lines().map(str::to_owned).collect();
    let lines = lines.into_iter().filter(|line| line.trim().len() >= SHORTEST_LINE);
    [value, quoted].into_iter().chain(lines)
}

impl FromIterator<String> for Secrets {
    fn from_iter<I: IntoIterator<Item = String>>(values: I) -> Self {
        let values = values.into_iter().filter(|value| !value.is_empty()).flat_map(forms);
        let mut values: Vec<String> = values.collect::<BTreeSet<_>>().into_iter().collect();
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        Self { values }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_wherever_they_stand_longer_ones_first() {
        let secrets: Secrets = ["pw", "pw-long", ""].map(str::to_owned).into_iter().collect();
        assert_eq!(secrets.hide("user pw-long, pw and pwpw"), "user ***, *** and ******");
        assert_eq!(format!("{secrets:?}"), "Secrets(2)");
        let odd = "tab\there \"and\" more\nthe second line".to_owned();
        let secrets = secrets.and([odd.clone()].into_iter());
        assert_eq!(secrets.hide(&format!("{odd}, {odd:?}")), "***, \"***\"");
        assert_eq!(secrets.hide("> tab\there \"and\" more\n> the second line\n"), "> ***\n> ***\n");
        let vars = |pairs: &[(&str, &str)]| -> Vars {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let changes = Changes {
            secrets: vec!["pin".to_owned()],
            vars: vars(&[("pin", "1234"), ("mtu", "9000"), ("Enable_Password", "up")]),
            ..Changes::default()
        };
        let secrets = Secrets::of(&changes, &vars(&[("api_token", "t0k")]));
        assert_eq!(secrets.hide("1234 9000 up t0k"), "*** 9000 *** ***");
    }
}
