//! Kinds of drivers, and the words for them. What makes them is in `driver`.

/// How a driver works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DriverKind {
    /// Says that all went well, and does nothing.
    #[default]
    Null,
    /// Answers what it was told to.
    Mock,
    /// Runs each command on this machine.
    Local,
    /// Starts a program for each command.
    Command,
    /// Starts a program once, and talks to it.
    Session,
    /// Runs each command over SSH.
    Ssh,
    /// Sends requests.
    Http,
    /// Has a CloudVision portal put configlets on devices, and run change controls.
    Cvp,
}

impl DriverKind {
    /// The words for them.
    pub const WORDS: [(&'static str, Self); 8] = [
        ("null", Self::Null),
        ("mock", Self::Mock),
        ("local", Self::Local),
        ("command", Self::Command),
        ("session", Self::Session),
        ("ssh", Self::Ssh),
        ("http", Self::Http),
        ("cvp", Self::Cvp),
    ];

    /// The words alone.
    #[expect(clippy::indexing_slicing, reason = "both are as long, and it is a constant")]
    pub(super) const NAMES: [&'static str; Self::WORDS.len()] = {
        let mut names = [""; Self::WORDS.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = Self::WORDS[at].0;
            at += 1;
        }
        names
    };

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, kind)| *kind == self).map(|(word, _)| *word).unwrap_or_default()
    }

    /// Whether it starts a program that has to be named.
    #[must_use]
    pub fn needs_argv(self) -> bool {
        matches!(self, Self::Command | Self::Session)
    }
}
