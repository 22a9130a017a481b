//! Taking devices out of the portal for good: certificates, telemetry and all.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::{
    ask::Ask,
    client::{Client, or_default},
    error::CvpError,
    inventory::Device,
    version::Level,
};
use crate::base::{
    id::random_uuid,
    wait::{Deadline, Pauses},
};

const CONFIG: &str = "/api/resources/inventory/v1/DeviceDecommissioningConfig";
const STATUS: &str = "/api/resources/inventory/v1/DeviceDecommissioning";
/// The shortest and the longest pause between two looks.
const PAUSES: Pauses = Pauses::between(Duration::from_millis(200), Duration::from_secs(5));

impl Client {
    /// Takes a device out of the portal for good, and waits until it is gone.
    ///
    /// # Errors
    /// [`CvpError::Failed`] with what the portal says; [`CvpError::Late`]; [`CvpError::NotInThisVersion`]; the portal cannot
    /// be asked, or refuses.
    pub async fn decommission(&self, device: &Device, limit: Duration) -> Result<(), CvpError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Status {
            #[serde(default, deserialize_with = "or_default")]
            status: String,
            #[serde(default, deserialize_with = "or_default")]
            status_message: String,
        }
        let what = format!("decommission {device}");
        let hint = "portals from 2021.3 on do; delete it from the inventory instead";
        self.require(Level::DECOMMISSIONING, &what, hint).await?;
        let deadline = Deadline::within(limit);
        let request = random_uuid();
        let body = json!({ "key": { "requestId": request }, "deviceId": device.serial });
        // The id is ours: a second one changes nothing.
        self.ask(&Ask::post(&what, CONFIG, body).repeatable()).await?;
        let look = Ask::get(&what, STATUS).query("key.requestId", &request);
        let mut pauses = PAUSES;
        loop {
            // It may take a moment until it is told of.
            let found: Option<Status> = self.value(&look).await?;
            let (status, message) = found.map(|one| (one.status, one.status_message)).unwrap_or_default();
            match status.trim_start_matches("DECOMMISSIONING_STATUS_") {
                "SUCCESS" => return Ok(()),
                "FAILURE" => return Err(CvpError::Failed { what, why: message }),
                _ => {}
            }
            if deadline.passed() {
                return Err(CvpError::Late { what: format!("the request to {what}"), limit, seen: status });
            }
            pauses.pause(deadline).await;
        }
    }
}
