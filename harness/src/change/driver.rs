//! What carries commands to devices: the traits that every driver implements, and the ways in which it fails. Drivers know
//! nothing of changes: what follows from an answer or a failure is the engine's to decide. Those that reach nothing are in
//! `null` and `mock`; real ones are beside what they drive.

use std::{collections::BTreeMap, fmt, sync::Arc};

use regex_lite::Regex;

use super::{
    cond::{Element, Results},
    model::Device,
    text::Vars,
};
use crate::base::{dial::BoxFuture, wait::Deadline};

/// Opens sessions with devices.
///
/// Whatever hangs is ended by the driver itself when its deadline has passed; what it started then (programs, connections)
/// is ended with it. The engine drops a future only when it did not come back some time after its deadline.
pub trait Driver: fmt::Debug + Send + Sync {
    /// Texts that it knows, such as passwords, and that are shown to nobody, whoever says them.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// Opens a session of its own for a change on one device with one row; sessions share nothing.
    ///
    /// # Errors
    /// [`DriverError::Connect`], or [`DriverError::TimedOut`].
    fn open<'a>(
        &'a self,
        target: Target<'a>,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn Session>, DriverError>>;
}

/// A session with one device.
pub trait Session: Send {
    /// Waits for what is expected, if anything is, then sends, if there is something to send. Drivers whose commands end
    /// wait for that; others come back as soon as it is sent.
    ///
    /// # Errors
    /// It could not be done; what was said up to then goes with [`DriverError::TimedOut`] and [`DriverError::Lost`].
    fn exchange<'a>(
        &'a mut self,
        request: Request<'a>,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Said, DriverError>>;

    /// Ends the session. It is called once for every session that was opened, whatever became of it; also after
    /// [`DriverError::Lost`].
    ///
    /// # Errors
    /// It could not be ended in order. It is gone nevertheless.
    fn close(self: Box<Self>, deadline: Deadline) -> BoxFuture<'static, Result<(), DriverError>>;
}

/// The drivers of a run, by the names that files have for them.
pub type Drivers = BTreeMap<String, Arc<dyn Driver>>;

/// Whom a session is with.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The device, with its addresses and whatever else is said of it.
    pub device: &'a Device,
    /// The values of all variables that the driver's texts have in them, but for `command.` ones.
    pub vars: &'a Vars,
}

/// One exchange, with the values of variables in place.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Found in what the device said since the last match, or will say; what comes after the match stays for the next one.
    /// Drivers whose commands end look for it in `so_far`.
    pub expect: Option<&'a Regex>,
    /// What is sent; an empty text is a bare line end. Drivers add the line end themselves where one is needed.
    pub send: Option<&'a str>,
    /// What the exchanges before it in the same phase resulted in.
    pub so_far: &'a Results,
}

/// What a device said in one exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Everything, in the order it came.
    pub output: String,
    /// Of that, what went to the standard output; all of it where the device makes no difference.
    pub stdout: String,
    /// Of that, what went to the standard error.
    pub stderr: String,
    /// The status of a command that ended by itself.
    pub exitcode: Option<i64>,
    /// What the device's interface called it, such as `passed`.
    pub status: Option<String>,
    /// The number that the device's interface gave for what went wrong.
    pub errno: Option<i64>,
    /// Its words for that.
    pub reason: Option<String>,
    /// The document that it answered with.
    pub tree: Option<Element>,
    /// Why the driver takes it for a failure: a status other than zero, a signal, an answer that says so. The rest of the
    /// phase is not done then, unless the exchange says that this is fine.
    pub failure: Option<String>,
}

/// What kept a driver from doing its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// The device could not be reached.
    #[error("cannot connect to {device}: {why}")]
    Connect {
        /// The device.
        device: String,
        /// What kept us out, and what to look at.
        why: String,
    },
    /// What was asked for cannot be done, and was not begun.
    #[error("{device} refused it: {why}")]
    Refused {
        /// The device.
        device: String,
        /// Why.
        why: String,
    },
    /// It took too long.
    #[error("{device} took too long: {what}")]
    TimedOut {
        /// The device.
        device: String,
        /// What was waited for.
        what: String,
        /// What was said up to then.
        said: Box<Said>,
    },
    /// The connection, or the program at the other end, is gone.
    #[error("the session with {device} was lost: {why}")]
    Lost {
        /// The device.
        device: String,
        /// How.
        why: String,
        /// What was said up to then.
        said: Box<Said>,
    },
}

impl DriverError {
    /// What was said before it.
    #[must_use]
    pub fn said(&self) -> Option<&Said> {
        match self {
            Self::TimedOut { said, .. } | Self::Lost { said, .. } => Some(said),
            Self::Connect { .. } | Self::Refused { .. } => None,
        }
    }
}

impl Request<'_> {
    /// For drivers whose commands end: what is expected has to be in what was said so far.
    ///
    /// # Errors
    /// [`DriverError::TimedOut`]: it is not, and nothing more comes.
    pub fn expect_so_far(&self, device: &str) -> Result<(), DriverError> {
        match self.expect.filter(|expect| !expect.is_match(&self.so_far.cmdoutput)) {
            None => Ok(()),
            Some(expect) => {
                let what = format!("`{expect}` did not come");
                Err(DriverError::TimedOut { device: device.to_owned(), what, said: Box::default() })
            }
        }
    }
}

impl Said {
    /// What a command wrote to its standard output, and that it went well.
    #[must_use]
    pub fn ok(output: impl Into<String>) -> Self {
        let output = output.into();
        Self { stdout: output.clone(), output, exitcode: Some(0), ..Self::default() }
    }

    /// What a command wrote to its standard error, and with which status it ended.
    #[must_use]
    pub fn exit(code: i64, output: impl Into<String>) -> Self {
        let output = output.into();
        let failure = (code != 0).then(|| format!("exit status {code}"));
        Self { stderr: output.clone(), output, exitcode: Some(code), failure, ..Self::default() }
    }

    /// Adds it to what the exchanges before it resulted in: texts grow, of the others the last one that there is counts. Who only
    /// waits for a text has none, and does not take away what a command came to.
    pub(super) fn add_to(&self, results: &mut Results) {
        results.cmdoutput.push_str(&self.output);
        results.stdout.push_str(&self.stdout);
        results.stderr.push_str(&self.stderr);
        if self.exitcode.is_some() || self.status.is_some() {
            results.exitcode = self.exitcode;
            results.status.clone_from(&self.status);
            results.errno = self.errno;
            results.reason.clone_from(&self.reason);
        }
        if self.tree.is_some() {
            results.tree.clone_from(&self.tree);
        }
    }
}
