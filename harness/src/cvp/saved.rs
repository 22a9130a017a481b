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
    pub(crate) async fn save(&self, machines: &[Guest]) -> Result<BTreeMap<String, Vec<u8>>, PlaceError> {
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
    pub(crate) async fn open(
        self,
        machines: &[Guest],
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
fn find<'a>(device: &str, machines: &'a [Guest]) -> Result<&'a Guest, PlaceError> {
    let found = machines.iter().find(|guest| guest.name().as_str() == device);
    found.ok_or_else(|| PlaceError::Stranger { device: device.to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::{Change, Client, Cvp, CvpSpec, Login, ServiceAccount, SnapshotPlan};
    use super::*;
    use crate::{
        cvp::Place,
        guest::{self, GuestSpec},
    };

    type Documents = BTreeMap<String, Vec<u8>>;

    fn guest(name: &str) -> Guest {
        Guest::new(GuestSpec {
            name: name.parse().unwrap(),
            image: "minimal".into(),
            abilities: crate::image::Abilities::default(),
            ssh: None,
            agent: None,
            machine: None,
            login: guest::Login { user: "root".into(), password: None },
            console: "console".into(),
            outputs: "outputs".into(),
            notes: "notes".into(),
            time_factor: 1.0,
        })
    }

    /// All that a portal knows, but for who administers it, which is another one's each time.
    fn known(stay: &Stay) -> Value {
        let mut all: Value = serde_json::from_slice(&stay.state().unwrap().unwrap()).unwrap();
        for (part, own) in [("users", "cvpadmin"), ("accounts", "polder")] {
            all[part].as_object_mut().unwrap().remove(own).unwrap();
        }
        all["tokens"].as_object_mut().unwrap().retain(|_, token| token["account"] != "polder");
        all.as_object_mut().unwrap().remove("clock");
        all
    }

    /// A client of the same portal that comes in by another way.
    fn with(cvp: &Cvp, login: Login) -> Client {
        Client::new(CvpSpec { login, ..cvp.client().spec().clone() }, None).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_session_goes_on_where_another_one_was_and_undoes_what_that_did() {
        let dir = tempfile::tempdir().unwrap();
        let stay = Place::own(None).open("x", dir.path(), None).await.unwrap();
        let first = known(&stay);
        let cvp = stay.cvp().clone();
        cvp.configlet("ntp")
            .content("ntp server 192.0.2.1\n")
            .on(["leaf-1", "leaf-2"])
            .deploy()
            .await
            .unwrap();
        cvp.add_container("rack", "Tenant").await.unwrap();
        cvp.move_device("leaf-3", &cvp.named("rack")).await.unwrap();
        let tasks = cvp.configlet("ntp").content("ntp server 192.0.2.2\n").make().await.unwrap().1;
        assert_eq!(tasks.len(), 2);
        let account = ServiceAccount {
            name: "robot".into(),
            description: String::new(),
            roles: vec!["network-admin".into()],
            is_enabled: true,
        };
        cvp.client().set_service_account(&account).await.unwrap();
        let token = cvp.client().add_account_token("robot", "a test", super::super::RUN).await.unwrap();
        let plan = SnapshotPlan { commands: vec!["show version".into()], ..SnapshotPlan::default() };
        cvp.client().add_snapshot_template("versions", &plan).await.unwrap();
        let kept = stay.save(&[]).await.unwrap();
        let (then, named) = (known(&stay), cvp.named("y"));
        assert_ne!(first, then);
        cvp.configlet("dns").content("ip domain-name x.test\n").on(["leaf-4"]).deploy().await.unwrap();
        stay.close().await.unwrap();

        // Twice from the same.
        for _ in 0..2 {
            let stay = SavedStay::read(&kept).unwrap().open(&[], dir.path(), None).await.unwrap();
            let cvp = stay.cvp().clone();
            assert_eq!((known(&stay), cvp.named("y")), (then.clone(), named.clone()));
            let robot = with(&cvp, token.login.clone());
            assert_eq!(robot.devices().await.unwrap().len(), 4, "a token is good still");
            // What is leased it need not wait for, and tasks that wait are its own.
            cvp.run_change(Change::new("later").series(tasks.clone()), super::super::RUN).await.unwrap();
            assert!(cvp.running_config("leaf-2").await.unwrap().contains("192.0.2.2"));
            cvp.configlet("ntp").content("ntp server 192.0.2.3\n").deploy().await.unwrap();
            let undone = cvp.close().await.unwrap();
            let told: Vec<String> = undone.done.iter().map(ToString::to_string).collect();
            assert!(told.iter().any(|one| one.starts_with("move the device")), "{told:?}");
            let last = known(&stay);
            assert_eq!(last["configlets"], first["configlets"]);
            assert_eq!(last["containers"], first["containers"]);
            for (mac, device) in first["devices"].as_object().unwrap() {
                assert_eq!(last["devices"][mac]["placement"], device["placement"], "{mac}");
                assert!(!last["devices"][mac]["running"].as_str().unwrap().contains("ntp"), "{mac}");
            }
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "no journal is left");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn devices_that_are_machines_are_those_of_the_same_names_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let stay = Place::own(None).open("x", dir.path(), None).await.unwrap();
        let adapter = Adapter::file("/etc/x", "reload x");
        stay.cvp().own().unwrap().machines.add("leaf-1", guest("leaf-1"), adapter.clone());
        let stranger = |result: Result<(), PlaceError>| {
            let error = result.unwrap_err().to_string();
            assert!(error.contains("`leaf-1` is a machine that is none of the environment's"), "{error}");
        };
        stranger(stay.save(&[guest("leaf-2")]).await.map(drop));
        let kept = stay.save(&[guest("leaf-2"), guest("leaf-1")]).await.unwrap();
        stay.close().await.unwrap();
        stranger(SavedStay::read(&kept).unwrap().open(&[], dir.path(), None).await.map(drop));
        let stay = SavedStay::read(&kept).unwrap().open(&[guest("leaf-1")], dir.path(), None).await.unwrap();
        let machines = &stay.cvp().own().unwrap().machines;
        assert_eq!(machines.adapters(), [("leaf-1".to_owned(), adapter)].into());
        stay.close().await.unwrap();
    }

    #[rstest::rstest]
    #[case::no_session("session.json", "", "`session.json` of the portal's session is not kept")]
    #[case::no_portal("portal.json", "", "`portal.json` of the portal's session is not kept")]
    #[case::no_json("session.json", "{", "session.json is damaged")]
    #[case::other_version("session.json", r#"{"version": 2}"#, "session.json has format 2")]
    #[case::half("session.json", r#"{"version": 1, "prefix": "x-"}"#, "missing field")]
    #[case::no_undo(
        "session.json",
        r#"{"version": 1, "prefix": "", "leased": [], "standing": [{"undo": "all"}], "machines": {}}"#,
        "unknown variant `all`"
    )]
    #[case::no_state("portal.json", "[]", "portal.json has format 0")]
    #[case::contradicts(
        "portal.json",
        r#"{"version": 1, "devices": {"00:1c:73:aa:00:01": {"placement": {"container": "nowhere"}}}}"#,
        "portal.json contradicts itself"
    )]
    fn what_is_no_stay_is_none(#[case] name: &str, #[case] content: &str, #[case] why: &str) {
        let session = r#"{"version": 1, "prefix": "x-", "leased": [], "standing": [], "machines": {}}"#;
        let good = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
        let mut documents: Documents = [good(PORTAL, r#"{"version": 1}"#), good(SESSION, session)].into();
        assert!(SavedStay::read(&documents).is_ok());
        documents.remove(name).unwrap();
        if !content.is_empty() {
            documents.insert(name.to_owned(), content.as_bytes().to_vec());
        }
        let error = format!("{:#}", anyhow::Error::from(SavedStay::read(&documents).unwrap_err()));
        assert!(error.contains(why), "{error}");
    }
}
