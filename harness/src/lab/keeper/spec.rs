//! What a keeper is asked to do.

use serde::{Deserialize, Serialize};

use crate::net::{Impairment, Vlan};

/// What a keeper does until it is let go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Keep {
    /// Does something, and undoes it.
    Hold {
        /// The commands that do it; when one fails, it is undone at once.
        before: Vec<Vec<String>>,
        /// The commands that undo it, all of them whatever becomes of the others.
        after: Vec<Vec<String>>,
    },
    /// Carries the frames of a link.
    Relay(Relay),
    /// Writes the packets of an interface to its standard output, in the format of `pcap`.
    Capture {
        /// The interface.
        interface: String,
    },
}

/// A link whose frames are carried. A second relay of the same link takes the place of the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relay {
    /// Host's end of the machine's cable.
    pub tap: String,
    /// The bridge it belongs on.
    pub bridge: String,
    /// MTU of the net in bytes.
    pub mtu: u32,
    /// What befalls frames until the keeper is let go.
    pub now: Impairment,
    /// What befalls them afterwards.
    pub then: Impairment,
    /// VLANs of the port.
    pub vlan: Option<Vlan>,
    /// Where chance begins: the same numbers lead to the same losses.
    pub seed: u64,
}

impl Relay {
    /// Whether there is something to do when the keeper has been let go.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.vlan.is_some() || !self.then.is_none()
    }

    /// The port on the net's bridge.
    #[must_use]
    pub fn outer(&self) -> String {
        outer_port(&self.tap)
    }

    /// The port towards the machine.
    pub(super) fn inner(&self) -> String {
        format!("pj-{}", id(&self.tap))
    }

    /// The bridge on which that port meets the machine's cable.
    pub(super) fn between(&self) -> String {
        format!("pi-{}", id(&self.tap))
    }
}

/// The port by which a machine's frames come to its net's bridge while they are relayed; without that, they come from
/// `tap` itself.
#[must_use]
pub fn outer_port(tap: &str) -> String {
    format!("po-{}", id(tap))
}

/// What tells a cable from others: names of taps are `pt-` and this.
fn id(tap: &str) -> &str {
    tap.get(3..).unwrap_or(tap)
}
