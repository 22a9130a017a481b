//! What the table of keys is made of. The table is `keys.rs`; `shape.rs` holds files against it, `schema.rs` shows it to
//! editors.

/// A mapping of the init file and the keys it may have. `comment` and `x-...` are allowed, and ignored, in each.
pub(crate) struct Mapping {
    /// Its name in the schema.
    pub(crate) name: &'static str,
    /// What has the keys, for messages.
    pub(crate) of: &'static str,
    /// The keys.
    pub(crate) keys: &'static [Key],
}

impl Mapping {
    pub(crate) fn find(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The keys a person should know of.
    pub(crate) fn known(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().filter(|key| key.status == Status::Known).map(|key| key.name)
    }
}

/// One key.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// Whether the mapping is nothing without it.
    pub(crate) required: bool,
    pub(crate) status: Status,
    /// What it means, for the schema.
    pub(crate) doc: &'static str,
}

impl Key {
    pub(crate) const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, required: false, status: Status::Known, doc }
    }

    pub(crate) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// A key that is accepted, and does nothing.
    pub(crate) const fn idle(name: &'static str, status: Status, doc: &'static str) -> Self {
        Self { name, kind: Kind::Any, required: false, status, doc }
    }
}

/// Whether a key does anything.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Known,
    /// Found out by us, whatever the file says: it comes from an environment that was saved.
    Computed,
    /// Meant something once.
    Historic,
}

/// What a key takes.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Anything at all.
    Any,
    /// A single value, as it was written.
    Text,
    /// A single value, or nothing.
    Default,
    /// A single value of a form: a regular expression for the schema. Who reads it says better what is wrong with it.
    Form(&'static str),
    /// True or false.
    Bool,
    /// A whole number.
    Whole { min: u64, max: u64, unit: &'static str },
    /// A number from 0 to 100.
    Percent,
    /// One of a few words.
    Word(&'static [&'static str]),
    /// A list, each item of a kind.
    Each(&'static Kind),
    /// Names, each with a value of a kind.
    Map(&'static Kind),
    /// A mapping with keys of its own.
    Object(&'static Mapping),
    /// A mapping with keys of its own, and any others.
    Open(&'static Mapping),
    /// One of several kinds, no two of which look alike.
    Either(&'static [Kind]),
}
