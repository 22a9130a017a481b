//! Arista's CloudVision Portal: a client that never lies, sessions that leave nothing behind, and, for those who have none, a
//! portal of our own in `server`. Client and server share nothing but what goes over the wire; `place` knows both.
//!
//! A [`Client`] asks for everything a portal has; what its version does not have is an error that says what does.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> polder::Result {
//! use std::time::Duration;
//! use polder::cvp::{Change, Client, CvpSpec, Login, Node, SnapshotPlan, Trust, server::{DeviceSpec, Portal, PortalSpec}};
//!
//! let portal = Portal::start(PortalSpec { devices: DeviceSpec::demo(2), ..PortalSpec::default() }).await?;
//! let login = Login::Token(portal.token().to_owned());
//! let trust = Trust::CaPem(portal.ca().unwrap_or_default().into());
//! let client = Client::new(CvpSpec { trust, ..CvpSpec::new(Node::parse(&portal.url())?, login) }, None)?;
//!
//! // A change with snapshots before and after it, by their template's name.
//! let leaf = client.inventory().await?.device("leaf-1")?.clone();
//! let plan = SnapshotPlan { commands: vec!["show running-config".into()], ..SnapshotPlan::default() };
//! let template = client.add_snapshot_template("around ntp", &plan).await?;
//! let ntp = client.add_configlet("ntp", "ntp server 192.0.2.1\n").await?;
//! let tasks = client.put_on_device(&leaf, &[ntp]).await?;
//! let change = Change::new("ntp").series(tasks).snapshots("around ntp", &[leaf.serial.clone()]);
//! let id = client.create_change(&change).await?;
//! client.run_change(&id, Duration::from_secs(60), |_| {}).await?;
//! let after = client.snapshot(&template, &leaf.serial).await?.expect("it was taken");
//! assert!(after.output("show running-config").is_some_and(|text| text.contains("192.0.2.1")));
//! # Ok(())
//! # }
//! ```

mod account;
mod action;
mod answer;
mod ask;
mod certificate;
mod change_control;
mod client;
mod configlet;
mod decommission;
mod draft;
mod enrolment;
mod error;
mod har;
mod image;
mod inventory;
pub mod jobs;
mod journal;
mod lease;
mod onboard;
mod place;
mod provisioning;
mod reconcile;
mod saved;
mod search;
pub mod server;
mod session;
mod snapshot;
mod spec;
mod step;
mod tag;
mod task;
mod tls;
mod transport;
mod undo;
mod upload;
mod user;
pub(crate) mod variables;
mod version;
mod workspace;

pub use account::{AccountToken, NewToken, ServiceAccount};
pub use certificate::Certificate;
pub use change_control::{Change, ChangeControl, ChangeStatus, Legacy, Stage, StageState, StageStatus};
pub use client::Client;
pub use configlet::{Configlet, ConfigletChange, ConfigletKind, Holder, Validation};
pub use draft::{Deployed, Draft};
pub use enrolment::EnrolmentToken;
pub use error::{CvpError, NoAnswer, Refusal, Refusals, Why};
pub use har::Recorder;
pub use image::{Image, ImageBundle};
pub use inventory::{ComplianceCode, Container, Device, Inventory, ROOT, UNDEFINED};
pub use journal::{Found, Head, Journal, Undo, journal_folder, journals};
pub use lease::Lease;
pub use onboard::OnboardError;
pub(crate) use place::StayMoment;
pub use place::{Place, PlaceError, Stay, Way};
pub use provisioning::{Comparison, Held};
pub use reconcile::Reconciled;
pub(crate) use saved::SavedStay;
pub use search::{FoundContainer, Hits};
pub use session::{Cvp, RUN, SessionError};
pub use snapshot::{Snapshot, SnapshotPlan, SnapshotTemplate};
pub use spec::{CvpSpec, Limits, Login, Node, NotANode, Trust};
pub use tag::{Element, Tag, TagAssignment, TagEdit};
pub use task::{LogLine, Task, TaskId, TaskState};
pub use tls::TrustError;
pub(crate) use tls::{client as http_client, distrust};
pub use undo::Undone;
pub use user::{Module, Role, User};
pub use variables::BadVariables;
pub use version::{Level, NotAVersion, Version};
pub use workspace::{Workspace, WorkspaceState};
#[cfg(test)]
mod tests;
