//! Where a session is: at the portal that is configured, or at one of our own that goes with it. The only place that knows
//! the client and the portal of our own.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    client::Client,
    har::Recorder,
    onboard::Own,
    server::{DeviceSpec, Machines, Portal, PortalError, PortalMoment, PortalSpec, SavedState},
    session::{Cvp, SessionError},
    spec::{CvpSpec, Login, Node, NotANode, Trust},
    tls::TrustError,
    undo::Undone,
};
use crate::{
    base::{id::random_uuid, store::StoreError},
    guest::Guest,
};

/// Devices to play with that a portal of our own has when nobody says what it has.
const DEMO: u16 = 4;
/// The longest part of a suite's name that is in the names of its things.
const NAME: usize = 24;

/// A portal for a session.
#[derive(Debug, Clone)]
pub enum Place {
    /// One that is there.
    There(CvpSpec),
    /// One of our own, which lives as long as the session.
    Own(Box<PortalSpec>),
}

/// A session could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Our own portal.
    #[error(transparent)]
    Portal(#[from] PortalError),
    /// Our own portal's address.
    #[error(transparent)]
    Node(#[from] NotANode),
    /// Certificates.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// What is asked and answered cannot be recorded.
    #[error("cannot record what the portal is asked in {}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The session.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// What an earlier session was.
    #[error("cannot use what was kept of the portal's session")]
    Saved(#[from] StoreError),
    /// Something of that.
    #[error("`{name}` of the portal's session is not kept")]
    NotKept {
        /// What.
        name: &'static str,
    },
    /// A device that nobody will be.
    #[error("the portal's device `{device}` is a machine that is none of the environment's")]
    Stranger {
        /// Its name.
        device: String,
    },
}

impl Place {
    /// A portal of our own that begins with `state`, as [`Portal::dump`] writes it and people do; with devices to play
    /// with where nothing is said.
    #[must_use]
    pub fn own(state: Option<SavedState>) -> Self {
        let devices = if state.is_some() { Vec::new() } else { DeviceSpec::demo(DEMO) };
        Self::Own(Box::new(PortalSpec { devices, state, ..PortalSpec::default() }))
    }

    /// Begins a session for whoever is called `name`. Its journal is in the folder `journals`; what is asked and answered is
    /// kept in the file `archive`, without secrets.
    ///
    /// A portal of our own is a part of the runtime this is called in.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub async fn open(self, name: &str, journals: &Path, archive: Option<&Path>) -> Result<Stay, PlaceError> {
        let prefix = prefix(name);
        match self {
            Self::There(spec) => {
                let cvp = Cvp::begin(client(spec, archive)?, &prefix, journals).await?;
                Ok(Stay { cvp, own: None })
            }
            Self::Own(spec) => {
                let machines = Machines::beside(Arc::clone(&spec.driver));
                Stay::at_own(*spec, machines, &prefix, journals, archive).await
            }
        }
    }
}

/// A session, with its portal where that is our own.
#[derive(Debug)]
pub struct Stay {
    cvp: Cvp,
    own: Option<Portal>,
}

impl Stay {
    /// Begins a session at a portal of our own, some of whose devices are machines.
    pub(super) async fn at_own(
        spec: PortalSpec,
        machines: Machines,
        prefix: &str,
        journals: &Path,
        archive: Option<&Path>,
    ) -> Result<Self, PlaceError> {
        let machines = Arc::new(machines);
        let portal = Portal::start(PortalSpec { driver: Arc::clone(&machines) as _, ..spec }).await?;
        let client = client(login_to(&portal)?, archive)?;
        let own = Own { devices: portal.devices(), machines };
        let cvp = Cvp::begin_at(client, prefix, journals, Some(own)).await?;
        Ok(Self { cvp, own: Some(portal) })
    }

    /// The session.
    #[must_use]
    pub fn cvp(&self) -> &Cvp {
        &self.cvp
    }

    /// Keeps what the portal knows now, and what the session holds there; nothing, where the portal is not our own.
    pub(crate) async fn keep(&self) -> Option<StayMoment> {
        let portal = self.own.as_ref()?.keep();
        Some(StayMoment { portal, leased: self.cvp.leased().await })
    }

    /// Brings both back to that.
    pub(crate) async fn go_back(&self, to: &StayMoment) {
        if let Some(own) = &self.own {
            own.go_back(&to.portal);
            self.cvp.set_leased(to.leased.clone()).await;
        }
    }

    /// How one gets into the portal, if it is our own.
    #[must_use]
    pub fn way(&self) -> Option<Way> {
        self.own.as_ref().map(Way::to)
    }

    /// Everything the portal knows, if it is our own, as [`Portal::dump`] has it.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn state(&self) -> Option<Result<Vec<u8>, PortalError>> {
        self.own.as_ref().map(Portal::dump)
    }

    /// Leaves the session as it is, at a portal that is there: its journal says how everything is set back, which `polder gc`
    /// does once this process is gone.
    pub async fn leave(self) {
        self.cvp.leave().await;
    }

    /// Has a portal of our own not ask these machines any more, when the session is closed for example: they end with it, or
    /// somebody wants to see what a failure left in them.
    pub(crate) fn let_go(&self, machines: &[Guest]) {
        if let Some(own) = self.cvp.own() {
            own.machines.let_go(machines);
        }
    }

    /// Ends the session, as [`Cvp::close`] does, and then the portal, if it is our own.
    ///
    /// # Errors
    /// As for [`Cvp::close`].
    pub async fn close(self) -> Result<Undone, SessionError> {
        let closed = self.cvp.close().await;
        if let Some(own) = self.own {
            own.stop().await;
        }
        closed
    }
}

/// A moment of a session at a portal of our own.
#[derive(Debug)]
pub(crate) struct StayMoment {
    portal: PortalMoment,
    leased: HashSet<String>,
}

/// How one gets into a portal of our own.
#[derive(Clone, PartialEq, Eq)]
pub struct Way {
    /// Its address.
    pub url: String,
    /// Who may do everything.
    pub user: String,
    /// With which password.
    pub password: String,
    /// The certificate of the authority that vouches for it, as PEM; absent without TLS.
    pub ca: Option<String>,
}

/// The password is for nobody's log.
impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Way({} as {})", self.url, self.user)
    }
}

impl Way {
    /// The way into `portal`.
    #[must_use]
    pub fn to(portal: &Portal) -> Self {
        Self {
            url: portal.url(),
            user: portal.username().to_owned(),
            password: portal.password().to_owned(),
            ca: portal.ca().map(str::to_owned),
        }
    }

    /// The variables that lead `polder cvp` there; `ca_file` is where its certificate lies.
    #[must_use]
    pub fn variables(&self, ca_file: Option<&Path>) -> Vec<(&'static str, String)> {
        let login = [
            ("CVP_HOST", self.url.clone()),
            ("CVP_USER", self.user.clone()),
            ("CVP_PASS", self.password.clone()),
        ];
        let ca = ca_file.map(|file| ("CVP_CA_FILE", file.display().to_string()));
        login.into_iter().chain(ca).collect()
    }
}

/// How a client gets into a portal of our own.
fn login_to(portal: &Portal) -> Result<CvpSpec, NotANode> {
    let login = Login::Password { user: portal.username().into(), password: portal.password().into() };
    let spec = CvpSpec::new(Node::parse(&portal.url())?, login);
    let trust = portal.ca().map(|ca| Trust::CaPem(ca.as_bytes().to_vec()));
    Ok(CvpSpec { trust: trust.unwrap_or_default(), ..spec })
}

/// A client of the portal there; what it asks is kept in `archive`.
fn client(spec: CvpSpec, archive: Option<&Path>) -> Result<Client, PlaceError> {
    let recorder = archive.map(record).transpose()?;
    Ok(Client::new(spec, recorder)?)
}

fn record(path: &Path) -> Result<Recorder, PlaceError> {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let recorder = folder.and_then(|()| Recorder::create(path));
    recorder.map_err(|source| PlaceError::Record { path: path.to_owned(), source })
}

/// What the names of everything begin with that a session makes: unlike those of any other, on whatever host.
fn prefix(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String =
        name.replace("::", ".").chars().map(|c| if c == '.' { c } else { letter(c) }).take(NAME).collect();
    let unique: String = random_uuid().chars().take(8).collect();
    format!("polder-{name}-{unique}-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cvp::server::Adapter, guest::tests::Rig};

    #[test]
    fn names_begin_with_whose_they_are() {
        let prefix = prefix("inner::r/outing with a name that goes on");
        assert!(prefix.starts_with("polder-inner.r-outing-with-a-na-"), "{prefix}");
        assert_eq!(prefix.len(), "polder-".len() + NAME + "-12345678-".len());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_portal_of_our_own_lives_as_long_as_its_session() {
        let dir = tempfile::tempdir().unwrap();
        let (journals, archive) = (dir.path().join("j"), dir.path().join("a/cvp.har"));
        let stay = Place::own(None).open("x", &journals, Some(&archive)).await.unwrap();
        let cvp = stay.cvp().clone();
        let devices = cvp.client().devices().await.unwrap();
        assert_eq!(devices.len(), usize::from(DEMO));
        cvp.configlet("ntp").content("ntp server 192.0.2.1\n").on(["leaf-1"]).deploy().await.unwrap();
        let spec = cvp.client().spec().clone();
        stay.close().await.unwrap();
        assert!(Client::new(spec.clone(), None).unwrap().devices().await.is_err());
        assert_eq!(std::fs::read_dir(&journals).unwrap().count(), 0);
        let text = std::fs::read_to_string(&archive).unwrap();
        let archive: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(archive["log"]["entries"].as_array().unwrap().len() > 10);
        let Login::Password { password, .. } = spec.login else { panic!() };
        assert!(!text.contains(&password));

        let state = r#"{"version": 1, "devices": {"00:1c:73:aa:00:01": {"hostname": "sw"}}}"#;
        let stay =
            Place::own(Some(state.as_bytes().to_vec().into())).open("x", &journals, None).await.unwrap();
        let devices = stay.cvp().client().devices().await.unwrap();
        assert_eq!(devices.iter().map(|device| device.hostname.as_str()).collect::<Vec<_>>(), ["sw"]);
        stay.close().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_portal_of_our_own_goes_back_with_its_session() {
        let dir = tempfile::tempdir().unwrap();
        let stay = Place::own(None).open("x", dir.path(), None).await.unwrap();
        let cvp = stay.cvp().clone();
        let texts = async || {
            let configlets = cvp.client().configlets().await.unwrap();
            let mut texts: Vec<String> = configlets.into_iter().map(|one| one.text).collect();
            texts.sort();
            texts
        };
        cvp.configlet("ntp").content("ntp server 192.0.2.1\n").on(["leaf-1"]).deploy().await.unwrap();
        let (kept, before) = (stay.keep().await.unwrap(), texts().await);
        for _ in 0..2 {
            cvp.configlet("ntp").content("ntp server 192.0.2.2\n").on(["leaf-1"]).deploy().await.unwrap();
            cvp.configlet("dns").content("ip domain-name x.test\n").on(["leaf-2"]).deploy().await.unwrap();
            assert_ne!(texts().await, before);
            stay.go_back(&kept).await;
            // Without another login: the session is still that.
            assert_eq!(texts().await, before);
        }
        stay.close().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn machines_that_are_let_go_keep_what_they_run_and_others_are_set_back() {
        let Some(rig) = Rig::start("") else { return };
        for goes in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let config = dir.path().join("config");
            let stay = Place::own(None).open("x", &dir.path().join("j"), None).await.unwrap();
            let guest = Guest::new(rig.spec());
            let adapter = Adapter::file(config.to_str().unwrap(), "");
            stay.cvp().own().unwrap().machines.add("leaf-1", guest.clone(), adapter);
            stay.cvp()
                .configlet("ntp")
                .content("ntp server 192.0.2.1\n")
                .on(["leaf-1"])
                .deploy()
                .await
                .unwrap();
            assert!(std::fs::read_to_string(&config).unwrap().contains("ntp server"));
            stay.let_go(if goes { std::slice::from_ref(&guest) } else { &[] });
            assert!(!stay.close().await.unwrap().done.is_empty());
            assert_eq!(std::fs::read_to_string(&config).unwrap().contains("ntp server"), goes);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_cannot_be_set_back_at_a_portal_that_goes_is_told_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let stay = Place::own(None).open("x", dir.path(), None).await.unwrap();
        let cvp = stay.cvp();
        let (configlet, _) = cvp.configlet("ntp").content("ntp server 192.0.2.1\n").make().await.unwrap();
        let device = cvp.device("leaf-1").await.unwrap();
        cvp.client().put_on_device(&device, &[configlet]).await.unwrap();
        let error = stay.close().await.unwrap_err().to_string();
        assert!(error.contains("is in use by leaf-1") && !error.contains("polder gc"), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
