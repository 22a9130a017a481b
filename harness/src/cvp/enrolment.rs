//! Tokens with which devices enrol at the portal.

use std::{fmt, time::Duration};

use serde_json::{Value, json};

use super::{ask::Ask, client::Client, error::CvpError, version::Level};

/// What a device enrols with; shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolmentToken(String);

impl EnrolmentToken {
    /// The token, to be written where the device reads it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrolmentToken(hidden)")
    }
}

impl Client {
    /// Makes a token with which devices enrol, good for `valid` (whole seconds, a month at most). Devices the portal knows
    /// already enrol again only if their serial numbers are among `again`.
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses.
    pub async fn enrolment_token(
        &self,
        again: &[String],
        valid: Duration,
    ) -> Result<EnrolmentToken, CvpError> {
        let what = "make a token for devices to enrol with";
        self.require(Level::RESOURCES, what, "portals from 2021.2 on do").await?;
        let seconds = format!("{}s", valid.as_secs());
        let ask = if self.level().await? >= Level::SERVICE_ACCOUNTS {
            let body = json!({ "enrollmentToken": { "reenrollDevices": again, "validFor": seconds } });
            Ask::post(what, "/api/resources/admin.Enrollment/AddEnrollmentToken", body)
        } else {
            let body = json!({ "reenrollDevices": again, "duration": seconds });
            Ask::post(what, "/cvpservice/enroll/createToken", body)
        };
        let answer = self.ask(&ask.secret()).await?;
        let ways = ["/enrollmentToken/token", "/0/enrollmentToken/token", "/data"];
        let token = ways.iter().find_map(|way| answer.pointer(way).and_then(Value::as_str));
        match token.filter(|token| !token.is_empty()) {
            Some(token) => Ok(EnrolmentToken(token.to_owned())),
            None => {
                let why = "there is no token in the portal's answer".to_owned();
                Err(CvpError::Failed { what: what.to_owned(), why })
            }
        }
    }
}
