//! A portal that runs: where it is reached, who may come in, what is wrong with it on demand.

use std::{
    fmt, io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use super::{
    engine::{self, Engine},
    error::PortalError,
    faults::Faults,
    model::{ADMIN, Account, Container, Device, Model, Placement, ROOT, Settings, UNDEFINED, User},
    serve::{self, Serving},
    spec::{DeviceSpec, PortalSpec, SavedState},
    tls::Tls,
};
use crate::base::store::{self, Document};

/// How long requests have that are being answered when a portal is stopped.
const GRACE: Duration = Duration::from_secs(5);
/// The account of the token that a portal is started with.
const ACCOUNT: &str = "polder";
/// How long that token is good, in milliseconds.
const TOKEN_AGE: u64 = 366 * 86_400_000;

impl Document for Model {
    const VERSION: u32 = 1;
}

/// A portal. It stops when this is dropped; [`stop`](Self::stop) lets requests be answered that are under way.
pub struct Portal {
    engine: Arc<Engine>,
    address: SocketAddr,
    plain_http: bool,
    username: String,
    password: String,
    token: String,
    ca: Option<String>,
    over: watch::Sender<bool>,
    serving: JoinHandle<()>,
    working: JoinHandle<()>,
}

impl fmt::Debug for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Portal({} as {})", self.url(), self.username)
    }
}

impl Portal {
    /// Starts a portal; it answers when this comes back.
    ///
    /// # Errors
    /// The port is not to be had, or the state or a device makes no sense.
    pub async fn start(spec: PortalSpec) -> Result<Self, PortalError> {
        let secret = secret().map_err(PortalError::Secret)?;
        let mut model = first_state(&spec, secret)?;
        let password =
            spec.password.clone().unwrap_or_else(|| model.clock.secret().chars().take(24).collect());
        let admin = User { password: password.clone(), roles: vec![ADMIN.to_owned()], ..User::default() };
        model.users.remove(&spec.username);
        let device =
            |why: super::model::Refused| PortalError::Device { device: spec.username.clone(), why: why.text };
        model.add_user(&spec.username, admin).map_err(device)?;
        let token = first_token(&mut model, &spec.username).map_err(device)?;
        for device in &spec.devices {
            add_device(&mut model, device)?;
        }
        let wrong = model.check();
        if !wrong.is_empty() {
            let state = spec.state.map_or_else(|| "the portal".into(), |state| state.file);
            return Err(PortalError::Contradiction { state, wrong });
        }
        let listen = |source| PortalError::Listen { listen: spec.listen, source };
        let listener = TcpListener::bind(spec.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let tls = if spec.plain_http { None } else { Some(Tls::new(address.ip())?) };
        let (engine, work) = Engine::new(model, Arc::clone(&spec.driver), spec.task_delay);
        let (over, is_over) = watch::channel(false);
        let serving = Serving {
            engine: Arc::clone(&engine),
            tls: tls.as_ref().map(|tls| TlsAcceptor::from(Arc::clone(&tls.config))),
            body_limit: spec.body_limit,
            over: is_over,
        };
        Ok(Self {
            engine,
            address,
            plain_http: spec.plain_http,
            username: spec.username,
            password,
            token,
            ca: tls.map(|tls| tls.ca),
            over,
            serving: tokio::spawn(serve::serve(listener, serving)),
            working: tokio::spawn(work),
        })
    }

    /// Where it is reached, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.plain_http { "http" } else { "https" };
        // Whoever listens at all addresses is reached at the loopback.
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() {
                [127, 0, 0, 1].into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            });
        }
        format!("{scheme}://{address}")
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of the authority that vouches for it, as PEM; absent without TLS.
    #[must_use]
    pub fn ca(&self) -> Option<&str> {
        self.ca.as_deref()
    }

    /// Who may do everything.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// With which password.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// A token that does instead of name and password.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Takes further devices while it runs.
    #[must_use]
    pub fn devices(&self) -> Devices {
        Devices(Arc::clone(&self.engine))
    }

    /// What can be made to go wrong.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults(Arc::clone(&self.engine))
    }

    /// Everything it knows, as a JSON document that [`PortalSpec::state`] takes. Passwords and tokens are digests in it.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn dump(&self) -> Result<Vec<u8>, PortalError> {
        self.engine.change(|model| store::text(model)).map_err(PortalError::Dump)
    }

    /// Writes the same into a file, in place of what may be there.
    ///
    /// # Errors
    /// The file cannot be written, or has a newer format.
    pub fn save(&self, path: &Path) -> Result<(), PortalError> {
        Ok(self.engine.change(|model| store::write(path, model))?)
    }

    /// Everything it knows, to [go back](Self::go_back) to.
    #[must_use]
    pub fn keep(&self) -> PortalMoment {
        PortalMoment(Mutex::new(Box::new(self.engine.keep())))
    }

    /// Knows again what it knew when that was kept, and nothing else. Sessions of its users go on.
    pub fn go_back(&self, to: &PortalMoment) {
        self.engine.go_back(&to.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What contradicts itself in what it knows; nothing, if all is well. For tests of the portal.
    #[must_use]
    pub fn contradictions(&self) -> Vec<String> {
        self.engine.change(|model| model.check())
    }

    /// Takes no more requests, answers those under way, and stops.
    pub async fn stop(mut self) {
        self.over.send_replace(true);
        if tokio::time::timeout(GRACE, &mut self.serving).await.is_err() {
            tracing::debug!("requests were under way for too long when the portal stopped");
        }
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        self.serving.abort();
        self.working.abort();
    }
}

/// All that a portal knew at a moment.
pub struct PortalMoment(Mutex<Box<Model>>);

impl fmt::Debug for PortalMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write!(f, "PortalMoment({} devices)", model.devices.len())
    }
}

/// The devices of a portal that runs. It does not keep the portal.
#[derive(Debug, Clone)]
pub struct Devices(Arc<Engine>);

impl Devices {
    /// Adds one; one that is there already, by its MAC address, stays as it is.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn add(&self, device: &DeviceSpec) -> Result<(), PortalError> {
        self.0.change(|model| add_device(model, device))
    }
}

fn secret() -> io::Result<[u8; 32]> {
    let mut secret = [0; 32];
    let got = rustix::rand::getrandom(&mut secret, rustix::rand::GetRandomFlags::empty())?;
    if got < secret.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(secret)
}

/// Whether a portal can begin with this state.
///
/// # Errors
/// It is none, or contradicts itself.
pub fn check_state(state: SavedState) -> Result<(), PortalError> {
    let file = state.file.clone();
    let spec = PortalSpec { state: Some(state), ..PortalSpec::default() };
    let wrong = first_state(&spec, [0; 32])?.check();
    if wrong.is_empty() { Ok(()) } else { Err(PortalError::Contradiction { state: file, wrong }) }
}

fn first_state(spec: &PortalSpec, secret: [u8; 32]) -> Result<Model, PortalError> {
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let settings = Settings {
        imitate: spec.imitate.clone().unwrap_or_default(),
        unmanaged: spec.unmanaged,
        validate: spec.validate,
        idle: milliseconds(spec.session_idle),
        age: milliseconds(spec.session_age),
        enforce_roles: spec.enforce_roles,
    };
    let Some(state) = &spec.state else {
        return Ok(Model::new(settings, secret, engine::now()));
    };
    let mut model: Model = store::parse(&state.file, &state.json)?;
    if let Some(imitate) = &spec.imitate {
        model.settings.imitate = imitate.clone();
    }
    model.adopt(secret, engine::now());
    Ok(model)
}

fn first_token(model: &mut Model, username: &str) -> Result<String, super::model::Refused> {
    let roles = vec![ADMIN.to_owned()];
    let account = Account { description: "made at the start".to_owned(), roles, ..Account::default() };
    model.set_account(ACCOUNT, account)?;
    // Those of former starts are of no use to anybody.
    model.tokens.retain(|_, token| token.account != ACCOUNT);
    Ok(model.add_token(username, ACCOUNT, "made at the start", TOKEN_AGE)?.1)
}

fn add_device(model: &mut Model, spec: &DeviceSpec) -> Result<(), PortalError> {
    let container = match &spec.container {
        None => UNDEFINED.to_owned(),
        Some(name) => {
            let known = model.containers.iter().find(|(_, known)| known.name == *name);
            let known = known.map(|(key, _)| key.clone());
            known.unwrap_or_else(|| {
                let key = format!("container_{}", model.clock.uuid());
                let created_at = model.clock.stamp();
                let (parent, created_by) = (ROOT.to_owned(), "cvp system".to_owned());
                let container =
                    Container { name: name.clone(), parent, created_by, created_at, ..Container::default() };
                model.containers.insert(key.clone(), container);
                key
            })
        }
    };
    // A state that was saved may have it already.
    if model.devices.contains_key(&spec.mac) {
        return Ok(());
    }
    let device = Device {
        serial: spec.serial.clone(),
        hostname: spec.hostname.clone(),
        domain: spec.domain.clone(),
        ip: spec.ip.clone(),
        unmanaged: spec.config.clone(),
        judges: spec.judges,
        placement: Placement { container: Some(container), ..Placement::default() },
        ..Device::default()
    };
    let why =
        |why: super::model::Refused| PortalError::Device { device: spec.hostname.clone(), why: why.text };
    model.add_device(&spec.mac, device).map_err(why)
}
