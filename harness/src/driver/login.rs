//! Who we are at a server or a portal that the file of changes names. Secrets come from the environment.

use std::fmt;

use crate::change::Text;

/// A user with a password, or a token.
pub(super) enum Login {
    User { user: Text, password: String },
    Token(String),
}

impl Login {
    /// The name, if it is by one.
    pub(super) fn user(&self) -> Option<&Text> {
        match self {
            Self::User { user, .. } => Some(user),
            Self::Token(_) => None,
        }
    }

    /// What is shown to nobody.
    pub(super) fn secret(&self) -> &str {
        match self {
            Self::User { password: secret, .. } | Self::Token(secret) => secret,
        }
    }
}

/// Leaves secrets out.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { user, .. } => write!(f, "User({user})"),
            Self::Token(_) => f.write_str("Token"),
        }
    }
}
