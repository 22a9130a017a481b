//! The QEMU guest agent: what can be had of a guest without network and keys.
//! Speaks the protocol over an [`AgentPort`]; how the port reaches the guest is not its business.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    limits,
    output::Status,
    run::{Call, RunError, Running, Source, Stage, Streams, Transport, kill_script},
    spec::{AgentPort, AgentPortError},
};
use crate::base::{
    dial::BoxFuture,
    wait::{Look, WaitError, wait_for},
};

/// Bytes of a file asked for at once.
const READ_BYTES: u32 = 256 * 1024;
/// Bytes of a file written at once: an emulated guest needs seconds for a message of some hundred kilobytes, and libvirt gives
/// it up after five.
const WRITE_BYTES: usize = 32 * 1024;

/// The guest agent did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// It could not be asked, or refused.
    #[error("cannot do `{request}` through the guest agent")]
    Port {
        /// The protocol's name of the request.
        request: &'static str,
        /// Why.
        #[source]
        source: AgentPortError,
    },
    /// Its answer makes no sense.
    #[error("the guest agent answered `{request}` with something else: {reply}")]
    Reply {
        /// The protocol's name of the request.
        request: &'static str,
        /// The reply, shortened.
        reply: String,
    },
    /// The agent keeps no more than so much of an output.
    #[error("the output is longer than the guest agent keeps (16 MiB)")]
    Truncated,
}

/// A network interface as the guest sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name, such as `eth0`.
    pub name: String,
    /// Its hardware address as text, where it has one.
    pub mac: Option<String>,
    /// Its addresses and their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// The agent of one guest.
#[derive(Debug, Clone)]
pub struct Agent {
    port: Arc<dyn AgentPort>,
    time_factor: f64,
}

impl Agent {
    pub(super) fn new(port: Arc<dyn AgentPort>, time_factor: f64) -> Self {
        Self { port, time_factor }
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// [`AgentError`] when it does not.
    pub async fn ping(&self) -> Result<(), AgentError> {
        self.call::<Value>("guest-ping", json!({})).await.map(drop)
    }

    /// Sets the guest's clock.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn set_time(&self, time: SystemTime) -> Result<(), AgentError> {
        let nanos = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        self.call::<Value>("guest-set-time", json!({ "time": nanos })).await.map(drop)
    }

    /// Brings all file systems of the guest to rest until [`Agent::thaw`]; returns how many there are.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn freeze(&self) -> Result<u64, AgentError> {
        self.call("guest-fsfreeze-freeze", json!({})).await
    }

    /// Lets file systems go on that [`Agent::freeze`] brought to rest.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn thaw(&self) -> Result<u64, AgentError> {
        self.call("guest-fsfreeze-thaw", json!({})).await
    }

    /// The guest's network interfaces.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn interfaces(&self) -> Result<Vec<Interface>, AgentError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Found {
            name: String,
            hardware_address: Option<String>,
            #[serde(default)]
            ip_addresses: Vec<FoundAddress>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct FoundAddress {
            ip_address: IpAddr,
            prefix: u8,
        }
        let found: Vec<Found> = self.call("guest-network-get-interfaces", json!({})).await?;
        let interface = |found: Found| Interface {
            name: found.name,
            mac: found.hardware_address,
            addresses: found.ip_addresses.iter().map(|a| (a.ip_address, a.prefix)).collect(),
        };
        Ok(found.into_iter().map(interface).collect())
    }

    /// Asks the guest to switch itself off; returns when it was asked, not when it is off.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn shutdown(&self) -> Result<(), AgentError> {
        // The agent does not answer to this when it obeys, but a refusal comes at once.
        let request = json!({ "execute": "guest-shutdown", "arguments": { "mode": "powerdown" } });
        match self.port.call(request.to_string(), limits::LOOK / 5).await {
            Ok(reply) => parse::<Value>("guest-shutdown", &reply).map(drop),
            Err(AgentPortError::TimedOut(_)) => Ok(()),
            Err(source) => Err(AgentError::Port { request: "guest-shutdown", source }),
        }
    }

    /// A file of the guest, whole.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn read_file(&self, path: &str) -> Result<Vec<u8>, AgentError> {
        #[derive(Deserialize)]
        struct Read {
            #[serde(rename = "buf-b64")]
            buf: String,
            eof: bool,
        }
        let handle: i64 = self.call("guest-file-open", json!({ "path": path, "mode": "r" })).await?;
        let read = async {
            let mut bytes = Vec::new();
            loop {
                let asked = json!({ "handle": handle, "count": READ_BYTES });
                let read: Read = self.call("guest-file-read", asked).await?;
                bytes.extend(decode("guest-file-read", &read.buf)?);
                if read.eof {
                    return Ok(bytes);
                }
            }
        };
        let bytes = read.await;
        let closed: Result<Value, _> = self.call("guest-file-close", json!({ "handle": handle })).await;
        bytes.and_then(|bytes| closed.map(|_| bytes))
    }

    /// Writes a file of the guest, in place; it may hold a part of `bytes` after an error.
    ///
    /// # Errors
    /// [`AgentError`]
    pub async fn write_file(&self, path: &str, bytes: &[u8]) -> Result<(), AgentError> {
        #[derive(Deserialize)]
        struct Wrote {
            count: usize,
        }
        let handle: i64 = self.call("guest-file-open", json!({ "path": path, "mode": "w" })).await?;
        let write = async {
            let mut rest = bytes;
            while !rest.is_empty() {
                let piece = rest.get(..rest.len().min(WRITE_BYTES)).unwrap_or_default();
                let asked = json!({ "handle": handle, "buf-b64": BASE64.encode(piece) });
                let wrote: Wrote = self.call("guest-file-write", asked).await?;
                rest = rest.get(wrote.count..).unwrap_or_default();
            }
            Ok(())
        };
        let written = write.await;
        let closed: Result<Value, _> = self.call("guest-file-close", json!({ "handle": handle })).await;
        written.and_then(|()| closed.map(drop))
    }

    async fn start(&self, line: &str, input: &[u8]) -> Result<i64, AgentError> {
        #[derive(Deserialize)]
        struct Started {
            pid: i64,
        }
        let arguments = json!({
            "path": "/bin/sh",
            "arg": ["-c", line],
            "input-data": BASE64.encode(input),
            "capture-output": true,
        });
        self.call("guest-exec", arguments).await.map(|Started { pid }| pid)
    }

    /// Waits for the end of a command; that the agent is away for a while is no end.
    async fn ended(&self, pid: i64, limit: Duration) -> Result<Result<ExecStatus, AgentError>, WaitError> {
        wait_for("the end of a command", limit, limits::AGENT_PAUSE, async || {
            match self.call::<ExecStatus>("guest-exec-status", json!({ "pid": pid })).await {
                Ok(status) if !status.exited => Look::NotYet("it runs".to_owned()),
                Err(AgentError::Port {
                    source: source @ (AgentPortError::NotConnected(_) | AgentPortError::TimedOut(_)),
                    ..
                }) => Look::NotYet(source.to_string()),
                ended => Look::Ready(ended),
            }
        })
        .await
    }

    /// Kills what runs under `mark`; false when that is not certain.
    async fn kill(self, mark: String) -> bool {
        let Ok(pid) = self.start(&kill_script(&mark), &[]).await else {
            return false;
        };
        let ended = self.ended(pid, limits::scaled(limits::KILL, self.time_factor)).await;
        matches!(ended, Ok(Ok(ExecStatus { exitcode: Some(0), .. })))
    }

    async fn call<T: for<'de> Deserialize<'de>>(
        &self,
        request: &'static str,
        arguments: Value,
    ) -> Result<T, AgentError> {
        let limit = limits::scaled(limits::AGENT_CALL, self.time_factor);
        self.call_within(limit, request, arguments).await
    }

    async fn call_within<T: for<'de> Deserialize<'de>>(
        &self,
        limit: Duration,
        request: &'static str,
        arguments: Value,
    ) -> Result<T, AgentError> {
        let text = json!({ "execute": request, "arguments": arguments }).to_string();
        let reply =
            self.port.call(text, limit).await.map_err(|source| AgentError::Port { request, source })?;
        parse(request, &reply)
    }
}

impl AgentError {
    /// Whether the agent can have done what it was asked for all the same.
    fn may_have_begun(&self) -> bool {
        match self {
            Self::Port { source, .. } => matches!(source, AgentPortError::TimedOut(_)),
            Self::Reply { .. } | Self::Truncated => true,
        }
    }

    /// Whether asking again cannot end otherwise.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Port { source: AgentPortError::Failed(_), .. })
    }
}

/// Runs lines with the guest's `sh`. Output arrives only when they have ended.
impl Transport for Agent {
    fn run<'a>(
        &'a self,
        call: &'a Call,
        streams: &'a mut Streams,
    ) -> BoxFuture<'a, Result<Status, RunError>> {
        Box::pin(async move {
            let before = |e: AgentError| RunError::Before(Arc::new(e).into());
            let during = |e: AgentError| RunError::During(Arc::new(e).into());
            // An agent that does not answer to this has not begun anything.
            let limit = limits::scaled(limits::AGENT_CALL, self.time_factor).min(call.opening);
            self.call_within::<Value>(limit, "guest-ping", json!({})).await.map_err(before)?;
            let Ok(input) = tokio::time::timeout(call.deadline.left(), streams.stdin.whole()).await else {
                return Err(RunError::Deadline { stage: Stage::Starting, killed: true });
            };
            let input = input.map_err(RunError::Local)?;
            let pid = match self.start(&call.line, &input).await {
                Ok(pid) => pid,
                Err(error) if error.may_have_begun() => return Err(during(error)),
                Err(error) => {
                    streams.stdin = Source::Bytes(input);
                    return Err(before(error));
                }
            };
            let running = Running::new(self.clone().kill(call.mark.clone()));
            let Ok(ended) = self.ended(pid, call.deadline.left()).await else {
                return Err(RunError::Deadline { stage: Stage::Running, killed: running.kill().await });
            };
            let ended = ended.map_err(during)?;
            running.disarm();
            let ExecStatus { out_data, err_data, out_truncated, err_truncated, exitcode, signal, .. } = ended;
            let out = decode("guest-exec-status", &out_data).map_err(during)?;
            streams.stdout.write(&out).await.map_err(RunError::Local)?;
            let err = decode("guest-exec-status", &err_data).map_err(during)?;
            streams.stderr.write(&err).await.map_err(RunError::Local)?;
            if out_truncated || err_truncated {
                return Err(during(AgentError::Truncated));
            }
            Ok(match (exitcode, signal) {
                (Some(code), _) => Status::Code(code),
                (None, Some(signal)) => Status::signal(signal),
                (None, None) => Status::Unknown,
            })
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ExecStatus {
    exited: bool,
    exitcode: Option<i32>,
    signal: Option<i32>,
    #[serde(default)]
    out_data: String,
    #[serde(default)]
    err_data: String,
    #[serde(default)]
    out_truncated: bool,
    #[serde(default)]
    err_truncated: bool,
}

fn parse<T: for<'de> Deserialize<'de>>(request: &'static str, reply: &str) -> Result<T, AgentError> {
    #[derive(Deserialize)]
    struct Refusal {
        desc: String,
    }
    let strange = || AgentError::Reply { request, reply: reply.chars().take(200).collect() };
    let mut value: Value = serde_json::from_str(reply).map_err(|_| strange())?;
    if let Some(error) = value.get_mut("error") {
        let refusal: Refusal = serde_json::from_value(error.take()).map_err(|_| strange())?;
        return Err(AgentError::Port { request, source: AgentPortError::Failed(refusal.desc) });
    }
    let returned = value.get_mut("return").ok_or_else(strange)?;
    serde_json::from_value(returned.take()).map_err(|_| strange())
}

fn decode(request: &'static str, text: &str) -> Result<Vec<u8>, AgentError> {
    BASE64.decode(text).map_err(|_| AgentError::Reply { request, reply: text.chars().take(200).collect() })
}
