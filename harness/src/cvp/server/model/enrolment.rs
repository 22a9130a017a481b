//! Tokens with which devices enrol: given out, and known again by their digests.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    clock::{Ms, hex},
    refused::{About, Refused},
    state::Model,
};

/// What a device comes in with the first time.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Enrolment {
    digest: String,
    /// Serial numbers of devices that may come again; `*`: all.
    again: Vec<String>,
    created_by: String,
    valid_until: Ms,
}

/// How long the longest one is good.
const MONTH: Ms = 31 * 86_400_000;

impl Model {
    /// Makes a token that is good for `valid_for` milliseconds, and forgets those that are good no more.
    pub(crate) fn add_enrolment(
        &mut self,
        user: &str,
        again: Vec<String>,
        valid_for: Ms,
    ) -> Result<String, Refused> {
        if valid_for == 0 || valid_for > MONTH {
            return Err(Refused::invalid(About::Resource, "a token is good for a month at most"));
        }
        if let Some(serial) = again.iter().find(|one| *one != "*" && self.device_by_serial(one).is_none()) {
            return Err(Refused::invalid(About::Resource, format!("there is no device {serial}")));
        }
        let (now, secret) = (self.clock.now(), self.clock.secret());
        self.enrolments.retain(|known| known.valid_until > now);
        self.enrolments.push(Enrolment {
            digest: hex(&Sha256::digest(&secret)),
            again,
            created_by: user.to_owned(),
            valid_until: now + valid_for,
        });
        Ok(secret)
    }
}
