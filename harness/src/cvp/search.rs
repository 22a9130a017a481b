//! Searching the portal's topology.

use serde::Deserialize;

use super::{
    ask::Ask,
    client::{Client, or_default},
    error::CvpError,
    inventory::Device,
    version::Level,
};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hits {
    /// Devices whose name, serial number, MAC or address has the text in it; those that are not provisioned are not searched.
    pub devices: Vec<Device>,
    /// Containers whose name has it.
    pub containers: Vec<FoundContainer>,
}

/// A container that was found; which one it is in is not told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FoundContainer {
    /// What the portal calls it.
    pub key: String,
    /// What people call it.
    pub name: String,
}

impl Client {
    /// Devices and containers with a text in what they are called, in whatever case; none with an empty one.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn search(&self, text: &str) -> Result<Hits, CvpError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            #[serde(default, deserialize_with = "or_default")]
            net_element_list: Vec<Device>,
            #[serde(default, deserialize_with = "or_default")]
            container_list: Vec<FoundContainer>,
        }
        if text.is_empty() {
            // The portal would answer with all there is.
            return Ok(Hits::default());
        }
        let new = self.level().await? >= Level::DECOMMISSIONING;
        let path = if new { "/provisioning/v3/searchTopology.do" } else { "/provisioning/searchTopology.do" };
        let ask = Ask::get(format!("search for `{text}`"), path).query("queryParam", text).rows(0, 0);
        let answer: Answer = self.read(&ask.within(self.spec().limits.slow_answer)).await?;
        Ok(Hits { devices: answer.net_element_list, containers: answer.container_list })
    }
}
