//! Passwords in the form in which systems keep them, so that no text of theirs travels. Pure.

use sha_crypt::{PasswordHasher, ShaCrypt};
use sha2::{Digest, Sha256};

/// A text that nobody could type as a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a password cannot be empty or have line breaks and other control characters in it")]
pub struct BadPassword;

/// `password` hashed with SHA-512 as `crypt(3)` does it. What nobody can guess about its place is `secret`: the salt is made
/// from it, so that the same password is kept in the same way in the same place, and in another way elsewhere.
///
/// # Errors
/// [`BadPassword`].
pub fn hashed(password: &str, secret: &str) -> Result<String, BadPassword> {
    if password.is_empty() || password.contains(|c: char| c.is_control()) {
        return Err(BadPassword);
    }
    let salt = Sha256::new().chain_update(secret).chain_update([0]).chain_update(password).finalize();
    let salt = salt.get(..12).ok_or(BadPassword)?;
    let hash =
        ShaCrypt::SHA512.hash_password_with_salt(password.as_bytes(), salt).map_err(|_| BadPassword)?;
    Ok(hash.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_password_and_place_alone() {
        let hash = hashed("s3cret: \"$x\"", "host key").unwrap();
        assert!(hash.starts_with("$6$") && hash.len() > 90, "{hash}");
        assert!(hash.chars().all(|c| c.is_ascii_alphanumeric() || "$./=".contains(c)), "{hash}");
        assert_eq!(hashed("s3cret: \"$x\"", "host key").unwrap(), hash);
        assert_ne!(hashed("s3cret: \"$x\"", "another").unwrap(), hash);
        assert_ne!(hashed("s3cret", "host key").unwrap().split('$').nth(3), hash.split('$').nth(3));
    }

    #[test]
    fn other_programs_find_the_same_hash() {
        let hash = hashed("a b'c", "x").unwrap();
        let salt = hash.split('$').find(|part| part.len() == 16).unwrap();
        let theirs = std::process::Command::new("busybox")
            .args(["mkpasswd", "-m", "sha512", "a b'c", salt])
            .output()
            .unwrap();
        let theirs = String::from_utf8(theirs.stdout).unwrap();
        let last = |text: &str| text.trim().rsplit('$').next().unwrap().to_owned();
        assert_eq!(last(&hash), last(&theirs), "{hash} {theirs}");
    }

    #[rstest::rstest]
    #[case("")]
    #[case("a\nb")]
    #[case("a\0")]
    fn what_cannot_be_typed_is_refused(#[case] password: &str) {
        assert_eq!(hashed(password, "x"), Err(BadPassword));
    }
}
