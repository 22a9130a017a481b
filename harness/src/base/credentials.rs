//! A name and a password for somebody else's daemon; shown to nobody.

use std::fmt;

/// What to answer when a daemon asks who we are.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name; absent: whatever the daemon takes for granted.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = if self.password.is_some() { "a password" } else { "no password" };
        write!(f, "Credentials({}, {password})", self.username.as_deref().unwrap_or("no name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_never_shown() {
        let secret = Credentials { username: Some("ada".into()), password: Some("hunter2".into()) };
        assert_eq!(format!("{secret:?}"), "Credentials(ada, a password)");
    }
}
