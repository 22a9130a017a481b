//! The drivers of a file by their names: each made by its kind of what the file says and of what the world around has for it,
//! secrets and machines. Everything that is missing there is told at once.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use reqwest::Client as HttpClient;
use russh::keys::{PrivateKey, decode_secret_key};

use super::{
    cvp::{Place, Portal},
    http::Http,
    login::Login,
    programs, session,
    ssh::{self, HostKey, Ssh},
};
use crate::{
    base::text::chain,
    change::{
        Changes, Driver, Drivers, Mock, Null, Said, Text, Vars,
        model::{self, DriverKind},
    },
    cvp::{Client, Trust, http_client},
    guest::Guest,
};

/// For the TCP connection of a request.
const CONNECT: std::time::Duration = std::time::Duration::from_secs(10);

/// What drivers need that files of changes do not have.
pub struct Outside<'a> {
    /// Values of environment variables: secrets, and `HOME`.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Machines of an environment; drivers of kind `ssh` reach the devices of these names as what they are.
    pub machines: BTreeMap<String, Guest>,
    /// The portal of drivers of kind `cvp` that do not say theirs.
    pub portal: Option<Client>,
}

/// Drivers that cannot be had: all that is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct BadDrivers(pub Vec<String>);

/// The drivers of a file.
///
/// # Errors
/// Everything that they need and that is not there: variables of the environment, files of keys and certificates, a portal.
pub fn drivers(changes: &Changes, outside: &Outside<'_>) -> Result<Drivers, BadDrivers> {
    let mut problems = Vec::new();
    let mut drivers = Drivers::new();
    for driver in &changes.drivers {
        let made = Maker { driver, outside, problems: &mut problems }.make();
        drivers.insert(driver.name.to_string(), made);
    }
    if problems.is_empty() { Ok(drivers) } else { Err(BadDrivers(problems)) }
}

struct Maker<'a, 'p> {
    driver: &'a model::Driver,
    outside: &'a Outside<'a>,
    problems: &'p mut Vec<String>,
}

impl Maker<'_, '_> {
    /// Where something is missing, one that is of no use.
    fn make(&mut self) -> Arc<dyn Driver> {
        let argv = self.driver.argv.clone();
        match self.driver.kind {
            DriverKind::Null => Arc::new(Null),
            DriverKind::Mock => Arc::new(Mock::new(|_, _| Ok(Said::ok("")))),
            DriverKind::Local => Arc::new(programs::Programs { argv: Vec::new() }),
            DriverKind::Command => Arc::new(programs::Programs { argv }),
            DriverKind::Session => Arc::new(session::Programs { argv }),
            DriverKind::Ssh => Arc::new(self.ssh()),
            DriverKind::Http => self.http(),
            DriverKind::Cvp => self.cvp(),
        }
    }

    fn ssh(&mut self) -> Ssh {
        let known_hosts = self.path("known_hosts").or_else(|| self.home(".ssh/known_hosts"));
        Ssh {
            user: self.text("user").cloned(),
            port: self.text("port").cloned(),
            login: ssh::Login { key: self.key(), password: self.secret("password_env") },
            known_hosts: known_hosts.unwrap_or_default(),
            host_key: match self.said("host_key").as_deref() {
                Some("any") => HostKey::Any,
                Some("accept-new") => HostKey::AcceptNew,
                _ => HostKey::Known,
            },
            is_terminal: self.is_set("terminal"),
            machines: self.outside.machines.clone(),
        }
    }

    fn http(&mut self) -> Arc<dyn Driver> {
        let login = self.login();
        let method = self.said("method").and_then(|method| method.parse().ok());
        let url = self.text("url").cloned().unwrap_or_default();
        let headers = self.driver.headers.clone();
        match self.client() {
            Some(client) => Arc::new(Http {
                client,
                url,
                method: method.unwrap_or(reqwest::Method::POST),
                headers,
                login,
            }),
            None => Arc::new(Null),
        }
    }

    fn cvp(&mut self) -> Arc<dyn Driver> {
        let place = match self.text("url").cloned() {
            Some(url) => {
                // Without one, it was said what is missing.
                let login = self.login();
                self.client();
                login.map(|login| Place::Said { url, login, trust: self.trust() })
            }
            None => {
                if self.outside.portal.is_none() {
                    self.problem(
                        "there is no portal: say its `url`, or name one by `POLDER_CVP_URL` and what goes with it",
                    );
                }
                self.outside.portal.clone().map(Place::There)
            }
        };
        match place {
            Some(place) => Arc::new(Portal { place }),
            None => Arc::new(Null),
        }
    }

    fn problem(&mut self, problem: impl std::fmt::Display) {
        self.problems.push(format!("the driver `{}`: {problem}", self.driver.name));
    }

    fn text(&self, option: &str) -> Option<&Text> {
        self.driver.options.get(option)
    }

    /// What an option says that has no variables.
    fn said(&self, option: &str) -> Option<String> {
        self.text(option)?.fill(&Vars::new()).ok()
    }

    fn is_set(&self, option: &str) -> bool {
        self.said(option).as_deref() == Some("true")
    }

    fn path(&mut self, option: &str) -> Option<PathBuf> {
        let said = self.said(option)?;
        match said.strip_prefix("~/") {
            Some(below) => self.home(below),
            None => Some(said.into()),
        }
    }

    fn home(&mut self, below: &str) -> Option<PathBuf> {
        let home = (self.outside.variable)("HOME").filter(|home| !home.is_empty());
        if home.is_none() {
            self.problem(format!("`~/{below}` is nowhere: the environment variable `HOME` is not set"));
        }
        home.map(|home| PathBuf::from(home).join(below))
    }

    fn secret(&mut self, option: &str) -> Option<String> {
        let name = self.said(option)?;
        let value = (self.outside.variable)(&name).filter(|value| !value.is_empty());
        if value.is_none() {
            self.problem(format!("the environment variable `{name}`, which `{option}` names, is not set"));
        }
        value
    }

    fn login(&mut self) -> Option<Login> {
        let (token, password) = (self.secret("token_env"), self.secret("password_env"));
        match (token, self.text("user").cloned(), password) {
            (Some(token), ..) => Some(Login::Token(token)),
            (None, Some(user), Some(password)) => Some(Login::User { user, password }),
            _ => None,
        }
    }

    fn key(&mut self) -> Option<Arc<PrivateKey>> {
        let path = self.path("key_file")?;
        let key = fs::read_to_string(&path).map_err(|error| error.to_string());
        let key = key.and_then(|text| decode_secret_key(&text, None).map_err(|error| error.to_string()));
        match key {
            Ok(key) => Some(Arc::new(key)),
            Err(error) => {
                self.problem(format!(
                    "cannot use {} as a key: {error}; it has to be a private key without a passphrase",
                    path.display()
                ));
                None
            }
        }
    }

    fn trust(&mut self) -> Trust {
        match self.path("ca_file") {
            Some(path) => Trust::CaFile(path),
            None if self.is_set("insecure") => Trust::Insecure,
            None => Trust::System,
        }
    }

    /// A client that trusts whom the options say.
    fn client(&mut self) -> Option<HttpClient> {
        let trust = self.trust();
        match http_client(&trust, CONNECT) {
            Ok(client) => Some(client),
            Err(error) => {
                self.problem(chain(&error));
                None
            }
        }
    }
}
