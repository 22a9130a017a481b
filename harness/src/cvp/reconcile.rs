//! What runs on a device and is in no design: found, and kept in a configlet of the device's own.

use serde::Deserialize;
use serde_json::json;

use super::{
    ask::Ask,
    client::Client,
    configlet::{Configlet, ConfigletKind},
    error::CvpError,
    inventory::Device,
    provisioning::Comparison,
    task::TaskId,
};

/// What became of a device's own lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciled {
    /// The configlet that has them now; the last one of its device.
    pub configlet: Configlet,
    /// The tasks the portal made; executing them is another matter.
    pub tasks: Vec<TaskId>,
}

impl Client {
    /// Compares what runs on a device with what is designed for it, in lines.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn compare_with_design(&self, device: &Device) -> Result<Comparison, CvpError> {
        let held = self.held_by_device(&device.mac).await?;
        let keys: Vec<String> = held.configlets.into_iter().map(|one| one.key).collect();
        self.compare(&device.mac, &keys).await
    }

    /// Puts the lines that run on a device and are in none of its other configlets into its reconcile configlet, which is made
    /// if there is none: no task removes them then. `None` when there are no such lines.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn reconcile(&self, device: &Device) -> Result<Option<Reconciled>, CvpError> {
        #[derive(Deserialize)]
        struct Answer {
            data: Configlet,
        }
        let held = self.held_by_device(&device.mac).await?;
        let is_own = |one: &&Configlet| one.kind == ConfigletKind::Reconciled;
        let known = held.configlets.iter().find(is_own);
        let others: Vec<String> =
            held.configlets.iter().filter(|one| !is_own(one)).map(|one| one.key.clone()).collect();
        let found = self.compare(&device.mac, &others).await?;
        if found.reconcile == 0 || found.unmanaged.trim().is_empty() {
            return Ok(None);
        }
        // The portal ends the text with a line end of its own.
        let text = found.unmanaged.trim_end_matches('\n');
        if let Some(known) = known {
            let is_same = known.text.trim_end_matches('\n') == text;
            let tasks = if is_same {
                Vec::new()
            } else {
                self.update_configlet(&known.key, &known.name, text).await?
            };
            let configlet = Configlet { text: text.to_owned(), ..known.clone() };
            return Ok(Some(Reconciled { configlet, tasks }));
        }
        let name = format!("RECONCILE_{}", device.ip);
        let body =
            json!({ "config": text, "key": "", "name": name, "reconciled": true, "unCheckedLines": "" });
        let what = format!("keep what runs on {device} in the configlet `{name}`");
        let ask = Ask::post(what, "/provisioning/updateReconcileConfiglet.do", body);
        let ask = ask.query("netElementId", &device.mac);
        let made = match self.read::<Answer>(&ask).await {
            Ok(answer) => answer.data,
            // Some answers do not tell it, and some do not come: it is there or it is not.
            Err(error @ (CvpError::Odd { .. } | CvpError::NoAnswer { .. })) => {
                let found = self.configlet(&name).await?;
                found.filter(|found| found.text.trim_end_matches('\n') == text).ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        let configlet = Configlet { kind: ConfigletKind::Reconciled, ..made };
        let tasks = self.put_on_device(device, std::slice::from_ref(&configlet)).await?;
        Ok(Some(Reconciled { configlet, tasks }))
    }
}
