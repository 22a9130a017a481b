//! A stay at a portal of our own that outlasts its process: what is written down of it, as documents by name, and how another
//! process goes on with that. Where documents are kept is not known here.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    journal::Undo,
    place::{PlaceError, Stay},
    server::{Adapter, Machines, PortalError, PortalSpec, SavedState, check_state},
    session::SessionError,
};
use crate::{
    base::store::{self, Document},
    guest::Guest,
};

/// The names of what is written down: all that the portal knows, and what its session did there.
const PORTAL: &str = "portal.json";
const SESSION: &str = "session.json";

/// What a session at a portal of our own was.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedSession {
    /// What the names of its things begin with.
    pub(super) prefix: String,
    /// What it had leased.
    pub(super) leased: HashSet<String>,
    /// What is to be undone, oldest first.
    pub(super) standing: Vec<Undo>,
    /// How devices that are machines take their configuration, by the machine's name.
    pub(super) machines: BTreeMap<String, Adapter>,
}

impl Document for SavedSession {
    const VERSION: u32 = 1;
}

/// A stay at a portal of our own as an earlier process kept it.
#[derive(Debug, Clone)]
pub(crate) struct SavedStay {
    portal: SavedState,
    session: SavedSession,
}

impl Stay {
    /// What another process needs to go on here, by name; nothing, where the portal is not our own. `machines` are those that
    /// will be there then.
    ///
    /// # Errors
    /// Another machine than those is a device.
    pub(crate) async fn save<G: AsRef<Guest>>(
        &self,
        machines: &[G],
    ) -> Result<BTreeMap<String, Vec<u8>>, PlaceError> {
        let (Some(portal), Some(own)) = (self.state(), self.cvp().own()) else {
            return Ok(BTreeMap::new());
        };
        let session = SavedSession { machines: own.machines.adapters(), ..self.cvp().saved().await };
        for device in session.machines.keys() {
            find(device, machines)?;
        }
        let session = store::text(&session).map_err(PortalError::Dump)?;
        Ok([(PORTAL.to_owned(), portal?), (SESSION.to_owned(), session)].into())
    }
}

impl SavedStay {
    /// Reads what [`Stay::save`] returned.
    ///
    /// # Errors
    /// It is not all there, or not what a portal and its session are.
    pub(crate) fn read(documents: &BTreeMap<String, Vec<u8>>) -> Result<Self, PlaceError> {
        let named = |name: &'static str| documents.get(name).ok_or(PlaceError::NotKept { name });
        let session: SavedSession = store::parse(Path::new(SESSION), named(SESSION)?)?;
        let portal = SavedState { file: PORTAL.into(), json: named(PORTAL)?.clone() };
        check_state(portal.clone())?;
        Ok(Self { portal, session })
    }

    /// Goes on there: with a portal that knows what that one knew, at addresses and with certificates of its own, and a session
    /// that undoes what that one did when it closes. Devices that were machines are those of the same names. Otherwise as
    /// [`Place::open`](super::Place::open).
    ///
    /// # Errors
    /// A machine is not there; otherwise as there.
    pub(crate) async fn open<G: AsRef<Guest>>(
        self,
        machines: &[G],
        journals: &Path,
        archive: Option<&Path>,
    ) -> Result<Stay, PlaceError> {
        let Self { portal, session } = self;
        let known = Machines::default();
        for (device, adapter) in &session.machines {
            known.add(device, find(device, machines)?.clone(), adapter.clone());
        }
        let spec = PortalSpec { state: Some(portal), ..PortalSpec::default() };
        let stay = Stay::at_own(spec, known, &session.prefix, journals, archive).await?;
        stay.cvp().go_on_as(session).await.map_err(SessionError::from)?;
        Ok(stay)
    }
}

/// The machine that is the device of this name.
fn find<'a, G: AsRef<Guest>>(device: &str, machines: &'a [G]) -> Result<&'a Guest, PlaceError> {
    let mut guests = machines.iter().map(AsRef::as_ref);
    let found = guests.find(|guest| guest.name().as_str() == device);
    found.ok_or_else(|| PlaceError::Stranger { device: device.to_owned() })
}
