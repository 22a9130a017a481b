//! Services of a machine: its manager is the one the init file names, else the first that finds itself there.

use std::time::Duration;

use super::{EnvError, Vm, error::chain};
use crate::{
    base::wait::{Look, wait_for},
    guest::{Command, Status},
    service::{Answer, ServiceManager, ServiceState},
};

/// How long a service may take to become what its manager says it has made of it (stretched by the time factor).
const SETTLING: Duration = Duration::from_secs(2);
/// Between two looks whether it has.
const PAUSE: Duration = Duration::from_millis(200);
/// Lines of a service's log that its errors show.
const LAST_WORDS: usize = 10;

/// A service of a machine that runs.
#[derive(Debug, Clone)]
pub struct Service {
    vm: Vm,
    name: String,
}

impl Vm {
    /// Its service of that name, whether there is one or not.
    #[must_use]
    pub fn service(&self, name: &str) -> Service {
        Service { vm: self.clone(), name: name.to_owned() }
    }

    /// What manages its services.
    ///
    /// # Errors
    /// None that is known does, or the machine cannot be asked.
    pub async fn service_manager(&self) -> Result<&str, EnvError> {
        Ok(self.manager().await?.name())
    }

    async fn manager(&self) -> Result<&dyn ServiceManager, EnvError> {
        let found = self.found_manager().get_or_try_init(async || {
            let known = self.managers();
            if let Some(named) = &self.plan().service_provider {
                let manager = known.iter().position(|manager| manager.name() == named);
                return manager.ok_or_else(|| self.unmanaged(&format!("`{named}` is none of")));
            }
            for (position, manager) in known.iter().enumerate() {
                if answer(self, manager.probe()).await?.code == Some(0) {
                    return Ok(position);
                }
            }
            Err(self.unmanaged("none is there of"))
        });
        let found = self.managers().get(*found.await?);
        found.map(|manager| &**manager).ok_or_else(|| self.unmanaged("none is there of"))
    }

    fn unmanaged(&self, why: &str) -> EnvError {
        let names: Vec<_> = self.managers().iter().map(|manager| manager.name()).collect();
        let why = format!("its services have no manager: {why} {}", names.join(", "));
        EnvError::Service { machine: self.name().clone(), why }
    }
}

impl Service {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is.
    ///
    /// # Errors
    /// The machine cannot be asked, or gives no answer.
    pub async fn state(&self) -> Result<ServiceState, EnvError> {
        let manager = self.vm.manager().await?;
        let answer = answer(&self.vm, manager.query(&self.name)).await?;
        let state = manager.state(&self.name, &answer);
        state.ok_or_else(|| self.error(&format!("cannot be asked for: {}", said(&answer))))
    }

    /// Whether there is such a service.
    ///
    /// # Errors
    /// As [`Self::state`].
    pub async fn exists(&self) -> Result<bool, EnvError> {
        Ok(self.state().await? != ServiceState::Missing)
    }

    /// Whether it runs.
    ///
    /// # Errors
    /// As [`Self::state`].
    pub async fn is_active(&self) -> Result<bool, EnvError> {
        Ok(self.state().await? == ServiceState::Active)
    }

    /// Makes it run, unless it does.
    ///
    /// # Errors
    /// There is none, or it does not run afterwards.
    pub async fn start(&self) -> Result<(), EnvError> {
        match self.present().await? {
            ServiceState::Active => Ok(()),
            _ => self.request(self.vm.manager().await?.start(&self.name), ServiceState::Active).await,
        }
    }

    /// Ends it, if it runs.
    ///
    /// # Errors
    /// There is none, or it runs afterwards.
    pub async fn stop(&self) -> Result<(), EnvError> {
        match self.present().await? {
            ServiceState::Active => {
                self.request(self.vm.manager().await?.stop(&self.name), ServiceState::Inactive).await
            }
            _ => Ok(()),
        }
    }

    /// Ends it if it runs, and makes it run.
    ///
    /// # Errors
    /// There is none, or it does not run afterwards.
    pub async fn restart(&self) -> Result<(), EnvError> {
        let running = self.present().await? == ServiceState::Active;
        match self.vm.manager().await?.restart(&self.name) {
            Some(argv) if running => self.request(argv, ServiceState::Active).await,
            _ => {
                self.stop().await?;
                self.start().await
            }
        }
    }

    /// What it wrote lately; nothing, where nobody keeps that.
    ///
    /// # Errors
    /// The machine cannot be asked, or the manager failed.
    pub async fn logs(&self) -> Result<Option<String>, EnvError> {
        let Some(argv) = self.vm.manager().await?.logs(&self.name) else { return Ok(None) };
        let answer = answer(&self.vm, argv).await?;
        match answer.code {
            Some(0) => Ok(Some(answer.stdout)),
            _ => Err(self.error(&format!("has no log to be read: {}", said(&answer)))),
        }
    }

    async fn present(&self) -> Result<ServiceState, EnvError> {
        match self.state().await? {
            ServiceState::Missing => {
                Err(self.error(&format!("is not there, says {}", self.vm.manager().await?.name())))
            }
            state => Ok(state),
        }
    }

    /// Asks for something, and looks whether it comes true.
    async fn request(&self, argv: Vec<String>, wanted: ServiceState) -> Result<(), EnvError> {
        let (line, answer) = (argv.join(" "), answer(&self.vm, argv).await?);
        if answer.code != Some(0) {
            let state = self.state().await?;
            let why = format!("is {state} after `{line}`: {}{}", said(&answer), self.last_words().await);
            return Err(self.error(&why));
        }
        let limit = SETTLING.mul_f64(self.vm.spec().time_factor);
        let what = format!("the service `{}` to be {wanted} after `{line}`", self.name);
        let settled = wait_for(&what, limit, PAUSE, async || match self.state().await {
            Ok(state) if state == wanted => Look::Ready(()),
            Ok(state) => Look::NotYet(format!("it is {state}")),
            Err(error) => Look::NotYet(chain(&error)),
        });
        match settled.await {
            Ok(()) => Ok(()),
            Err(error) => {
                let why = format!(
                    "is not {wanted} after `{line}` ({}): {error}{}",
                    said(&answer),
                    self.last_words().await
                );
                Err(self.error(&why))
            }
        }
    }

    /// The end of what it wrote, for an error; as far as that can be had.
    async fn last_words(&self) -> String {
        let log = self.logs().await.ok().flatten().unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let end = lines.iter().skip(lines.len().saturating_sub(LAST_WORDS));
        let end: String = end.map(|line| format!("\n  {line}")).collect();
        if end.is_empty() { end } else { format!("; its log ends with:{end}") }
    }

    fn error(&self, why: &str) -> EnvError {
        EnvError::Service {
            machine: self.vm.name().clone(),
            why: format!("the service `{}` {why}", self.name),
        }
    }
}

async fn answer(vm: &Vm, argv: Vec<String>) -> Result<Answer, EnvError> {
    let mut words = argv.into_iter();
    let command = Command::new(words.next().unwrap_or_default()).args(words);
    let output = vm
        .execute(command)
        .await
        .map_err(|source| EnvError::NotReady { machine: vm.name().clone(), source: Box::new(source) })?;
    let code = match output.status {
        Status::Code(code) => Some(code),
        Status::Signal(_) | Status::Unknown => None,
    };
    let (stdout, stderr) = (output.stdout.text().into_owned(), output.stderr.text().into_owned());
    Ok(Answer { code, stdout, stderr })
}

/// What a command said, in one line.
fn said(answer: &Answer) -> String {
    let text = format!("{} {}", answer.stdout.trim(), answer.stderr.trim());
    let status =
        answer.code.map_or_else(|| "no exit status".to_owned(), |code| format!("exit status {code}"));
    match text.trim() {
        "" => status,
        text => format!("{text} ({status})"),
    }
}
