//! What can go wrong between us and a portal.

use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

use super::{inventory::ComplianceCode, task::TaskId};
use crate::base::text::did_you_mean;

/// Something with a portal did not work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CvpError {
    /// No node let us in.
    #[error("cannot log in to the portal: {0}")]
    Login(Arc<Refusals>),
    /// No node could be reached; nothing was done.
    #[error("cannot {what}: no node of the portal can be reached ({refusals})")]
    Unreachable {
        /// What was tried.
        what: String,
        /// What became of it at each node.
        refusals: Arc<Refusals>,
    },
    /// The portal did not answer in time, or the connection broke before it had answered.
    #[error("cannot {what}: {node} {how}; {}", if *may_have_happened { "it may have been done all the same" } else { "nothing was changed" })]
    NoAnswer {
        /// What was tried.
        what: String,
        /// The node.
        node: String,
        /// What happened to the connection.
        how: NoAnswer,
        /// Whether the portal may have done it.
        may_have_happened: bool,
    },
    /// The portal said no.
    #[error("the portal refused to {what}: {refusal}")]
    Refused {
        /// What was tried.
        what: String,
        /// What it said.
        refusal: Refusal,
    },
    /// The answer is not one of the portal's.
    #[error("cannot {what}: {node} answered {answer}; is it a CloudVision Portal?")]
    Odd {
        /// What was tried.
        what: String,
        /// The node.
        node: String,
        /// What came instead.
        answer: String,
    },
    /// The session ended, and a new one ends at once, too.
    #[error("cannot {what}: {node} ends our sessions as soon as they begin")]
    NoSession {
        /// What was tried.
        what: String,
        /// The node.
        node: String,
    },
    /// The service of the portal that knows containers and what is assigned is off.
    #[error(
        "cannot {what}: the portal's network provisioning does not answer ({refusal}); portals installed from 2025.2 on and \
         tenants of the cloud service come without it: have it turned on there, or do it in the portal's Studios"
    )]
    NoProvisioning {
        /// What was tried.
        what: String,
        /// What came instead.
        refusal: Refusal,
    },
    /// It was asked for something this version of the portal does not have.
    #[error("cannot {what}: a portal of version {version} does not have that; {hint}")]
    NotInThisVersion {
        /// What was tried.
        what: String,
        /// The version.
        version: String,
        /// What has it, or what to do instead.
        hint: &'static str,
    },
    /// There is nothing of that name.
    #[error("the portal has no {kind} `{name}`{}", hint.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    NotFound {
        /// What was looked for: device, container, configlet, task, ...
        kind: &'static str,
        /// By which name.
        name: String,
        /// The nearest name there is.
        hint: Option<String>,
    },
    /// There is one already.
    #[error("the portal has a {kind} `{name}` already")]
    Exists {
        /// What it is.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Somebody holds it.
    #[error("the {kind} `{name}` is in use{}", if holders.is_empty() { String::new() } else { format!(" by {}", holders.join(", ")) })]
    InUse {
        /// What it is.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The names of those who hold it.
        holders: Vec<String>,
    },
    /// Several have that name.
    #[error("`{name}` can be one of several {kind}s: {}", which.join(", "))]
    Ambiguous {
        /// What was looked for.
        kind: &'static str,
        /// By which name.
        name: String,
        /// Which ones it can be.
        which: Vec<String>,
    },
    /// A device could not be taken into the inventory.
    #[error("the portal cannot take in the device at {address}: {why}")]
    Onboarding {
        /// Its address.
        address: String,
        /// What the portal says.
        why: String,
    },
    /// A file that is to be sent cannot be read; nothing was sent.
    #[error("cannot {what}: cannot read {}: {source}", file.display())]
    Unreadable {
        /// What was tried.
        what: String,
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The portal took it upon itself, and it did not end well.
    #[error("cannot {what}: {why}")]
    Failed {
        /// What was tried.
        what: String,
        /// What the portal says.
        why: String,
    },
    /// Tasks did not end well: their ids, the devices' names, and what became of them.
    #[error("{}", .0.iter().map(|(id, device, why)| format!("task {id} on {device} {why}")).collect::<Vec<_>>().join("; "))]
    Tasks(Vec<(TaskId, String, String)>),
    /// A change that no portal can do.
    #[error("cannot make the change control `{name}`: {why}")]
    BadChange {
        /// What it is called.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A change control did not end well.
    #[error("the change control `{name}` failed: {why}")]
    ChangeFailed {
        /// What it is called.
        name: String,
        /// The stages that failed and why.
        why: String,
    },
    /// Somebody else changes it.
    #[error("{what} is leased by {holder}")]
    Leased {
        /// The device or container.
        what: String,
        /// By whom.
        holder: String,
    },
    /// What was executed is not what runs.
    #[error("{device} does not have what was designed for it: {code}")]
    NotInSync {
        /// The device.
        device: String,
        /// What differs.
        code: ComplianceCode,
    },
    /// What is about to be done cannot be written down; it is not done.
    #[error("nothing was done: cannot write the session's journal: {0}")]
    Journal(Arc<io::Error>),
    /// Several things went wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Many(Vec<CvpError>),
    /// Several things are wrong; none of it was begun.
    #[error("nothing was begun: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<CvpError>),
    /// A time limit passed while the portal was at work.
    #[error("{what} did not end within {:.1} s; last seen: {seen}", limit.as_secs_f64())]
    Late {
        /// What was waited for.
        what: String,
        /// The limit.
        limit: Duration,
        /// What was seen last.
        seen: String,
    },
}

/// Why there was no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NoAnswer {
    /// Time was up.
    #[error("did not answer within {:.1} s", .0.as_secs_f64())]
    Late(Duration),
    /// The connection broke.
    #[error("broke the connection: {}", cause(.0.as_ref()))]
    Lost(#[source] Arc<reqwest::Error>),
}

/// What a portal says when it refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The portal's own code: digits of the classic API (`132801`), or a gRPC code of the others (`5`).
    pub code: Option<String>,
    /// Its words.
    pub text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_empty() { "it does not say why" } else { self.text.trim() })?;
        match &self.code {
            Some(code) => write!(f, " (code {code})"),
            None => write!(f, " (HTTP status {})", self.status),
        }
    }
}

/// What became of an attempt at each node, in order.
#[derive(Debug, Clone, Default)]
pub struct Refusals(pub Vec<(String, Why)>);

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (node, why)) in self.0.iter().enumerate() {
            write!(f, "{}{node}: {why}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// Why a node did not let us in.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Why {
    /// The user or the password is wrong.
    #[error("it refuses the user `{user}` with this password{}", shown(.refusal))]
    Password {
        /// The user.
        user: String,
        /// What it said.
        refusal: Refusal,
    },
    /// The token is wrong, or not valid any more.
    #[error("it refuses the token, which may be of another portal or have expired{}", shown(.0))]
    Token(Refusal),
    /// It takes tokens only; nothing was sent.
    #[error(
        "a tenant of the cloud service takes the token of a service account only; user and password were not sent"
    )]
    NeedsToken,
    /// Its certificate is not trusted.
    #[error(
        "its certificate is not trusted ({0}); name the CA's file, pin the certificate, or say `insecure`"
    )]
    Certificate(String),
    /// No connection.
    #[error("no connection: {}", cause(.0.as_ref()))]
    Connection(Arc<reqwest::Error>),
    /// No answer in time.
    #[error("no answer within {:.1} s", .0.as_secs_f64())]
    Late(Duration),
    /// The connection broke.
    #[error("it broke the connection: {}", cause(.0.as_ref()))]
    Lost(Arc<reqwest::Error>),
    /// It answered with something else.
    #[error("it answered {0}; is it a CloudVision Portal?")]
    Odd(String),
}

/// What an error of a connection comes from, without the layers that hand it on.
fn cause(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let text = deepest.to_string();
    let hint = if text.contains("InvalidContentType") {
        "; it does not speak TLS, is `http` meant?"
    } else if text.contains("invalid HTTP version") {
        "; it does not speak HTTP, is `https` meant?"
    } else {
        ""
    };
    format!("{text}{hint}")
}

fn shown(refusal: &Refusal) -> String {
    if refusal.text.is_empty() { String::new() } else { format!(": {refusal}") }
}

impl CvpError {
    /// The portal's code, when it refused.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { refusal, .. } => refusal.code.as_deref(),
            _ => None,
        }
    }

    /// Whether the portal may have done what was asked for, although there is no answer that says so.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::NoAnswer { may_have_happened: true, .. })
    }

    /// Whether it is about the way to the portal, and not about what was asked there.
    #[must_use]
    pub fn is_of_the_way(&self) -> bool {
        match self {
            Self::Login(_)
            | Self::Unreachable { .. }
            | Self::NoAnswer { .. }
            | Self::Odd { .. }
            | Self::NoSession { .. }
            | Self::Journal(_) => true,
            Self::Many(all) | Self::Several(all) => all.iter().all(Self::is_of_the_way),
            _ => false,
        }
    }

    /// There is no `kind` called `name`; `there` are the names there are.
    pub(crate) fn not_found<'a>(
        kind: &'static str,
        name: &str,
        there: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let hint = did_you_mean(name, there).map(str::to_owned);
        Self::NotFound { kind, name: name.to_owned(), hint }
    }

    /// Whether the portal refused with this code.
    pub(super) fn is(&self, code: &str) -> bool {
        self.code() == Some(code)
    }
}
