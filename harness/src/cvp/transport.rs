//! Questions to a portal over its nodes: one session for all tasks, opened when it is first needed and again when it has
//! ended; what may be asked again and what may not. Knows nothing of what is asked.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use reqwest::{RequestBuilder, header};
use serde_json::{Value, json};

use super::{
    answer::Meaning,
    ask::{Ask, Body},
    error::{CvpError, NoAnswer, Refusal, Refusals, Why},
    har::{Exchange, Recorder},
    spec::{CvpSpec, Login, Node},
    tls,
};
use crate::base::{text::chain, wait::Deadline};

/// Before a question is asked again that got no answer.
const PAUSE: Duration = Duration::from_millis(200);

/// The way to a portal; shared by all who ask.
#[derive(Debug)]
pub(super) struct Transport {
    spec: CvpSpec,
    http: reqwest::Client,
    session: Mutex<Option<Arc<Session>>>,
    /// Held while a session is opened: the others wait for its outcome.
    opening: tokio::sync::Mutex<()>,
    failed: Failures,
    /// The node at which the next session is tried first.
    first: AtomicUsize,
    recorder: Option<Recorder>,
}

/// A session at one node.
#[derive(Debug)]
struct Session {
    node: usize,
    headers: header::HeaderMap,
}

/// Attempts to open a session that failed: all who waited for one share its outcome.
#[derive(Debug, Default)]
struct Failures {
    count: AtomicU64,
    last: Mutex<Option<CvpError>>,
}

/// How a question that was sent ended.
enum Sent {
    Answer {
        status: u16,
        body: Vec<u8>,
    },
    /// It never reached the node.
    Unsent(Why),
    /// It may have reached it.
    NoAnswer(NoAnswer),
    /// What is to be sent cannot be read.
    Unreadable(PathBuf, io::Error),
}

impl Transport {
    /// # Errors
    /// The certificates that are to be trusted cannot be read.
    pub(super) fn new(spec: CvpSpec, recorder: Option<Recorder>) -> Result<Self, tls::TrustError> {
        let http = tls::client(&spec.trust, spec.limits.connect)?;
        Ok(Self {
            spec,
            http,
            session: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            failed: Failures::default(),
            first: AtomicUsize::default(),
            recorder,
        })
    }

    /// The same session over connections of their own: those there are belong to the runtimes they were made in, which may
    /// not get to their work any more.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub(super) fn on_new_connections(&self) -> Result<Self, tls::TrustError> {
        let other = Self::new(self.spec.clone(), self.recorder.clone())?;
        *other.lock() = self.lock().clone();
        other.first.store(self.first.load(Ordering::Acquire), Ordering::Release);
        Ok(other)
    }

    pub(super) fn spec(&self) -> &CvpSpec {
        &self.spec
    }

    /// Asks, and asks again where that is safe: when the session had ended, when nothing of it reached a node, and when no
    /// answer came to what may be repeated.
    ///
    /// Returns the body of an answer that means well.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Vec<u8>, CvpError> {
        let limit = ask.limit.unwrap_or(self.spec.limits.answer);
        let deadline = Deadline::within(limit);
        let what = || ask.what.clone();
        let mut renewed = false;
        let mut attempts = 1;
        let mut refusals = Refusals::default();
        loop {
            let session = self.session().await?;
            let node = self.node(&session);
            let shown = node.map(ToString::to_string).unwrap_or_default();
            let again = ask.may_repeat && attempts < self.spec.limits.attempts && !deadline.passed();
            let sent = match node {
                Some(node) => self.send(node, &session.headers, ask, deadline, limit).await,
                None => return Err(CvpError::Unreachable { what: what(), refusals: Arc::default() }),
            };
            match sent {
                Sent::Answer { status, body } => match ask.meaning(status, &body) {
                    Meaning::Fine => return Ok(body),
                    Meaning::SessionOver(_) if !renewed => {
                        renewed = true;
                        self.over(&session);
                    }
                    Meaning::SessionOver(_) => return Err(CvpError::NoSession { what: what(), node: shown }),
                    Meaning::Refused(refusal) if again && is_passing(&refusal) => attempts += 1,
                    Meaning::Refused(refusal) => return Err(CvpError::Refused { what: what(), refusal }),
                    Meaning::Odd(answer) => return Err(CvpError::Odd { what: what(), node: shown, answer }),
                },
                Sent::Unreadable(file, source) => {
                    return Err(CvpError::Unreadable { what: what(), file, source: Arc::new(source) });
                }
                // Another node may take it: nothing was done.
                Sent::Unsent(why) => {
                    refusals.0.push((shown, why));
                    if refusals.0.len() >= self.spec.nodes.len() || deadline.passed() {
                        return Err(CvpError::Unreachable { what: what(), refusals: Arc::new(refusals) });
                    }
                    self.over_at(&session);
                    continue;
                }
                Sent::NoAnswer(how) => {
                    // Whatever is asked next need not wait for the same node.
                    if self.spec.nodes.len() > 1 {
                        self.over_at(&session);
                    }
                    if again && !deadline.passed() {
                        attempts += 1;
                        tokio::time::sleep(PAUSE.min(deadline.left())).await;
                        continue;
                    }
                    let may_have_happened = ask.method != reqwest::Method::GET;
                    return Err(CvpError::NoAnswer { what: what(), node: shown, how, may_have_happened });
                }
            }
            if attempts > 1 {
                tokio::time::sleep(PAUSE.min(deadline.left())).await;
            }
        }
    }

    /// Makes sure that there is a session.
    pub(super) async fn log_in(&self) -> Result<(), CvpError> {
        self.session().await.map(drop)
    }

    /// Ends the session, if there is one.
    pub(super) async fn log_out(&self) {
        let Some(session) = self.lock().take() else { return };
        let is_password = matches!(self.spec.login, Login::Password { .. });
        if let (true, Some(node)) = (is_password, self.node(&session)) {
            let ask = Ask::post("log out", "/login/logout.do", Value::Null);
            let limit = self.spec.limits.login;
            let _ = self.send(node, &session.headers, &ask, Deadline::within(limit), limit).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Session>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn node(&self, session: &Session) -> Option<&Node> {
        self.spec.nodes.get(session.node)
    }

    /// This session is over; whoever finds another one already leaves it alone.
    fn over(&self, session: &Arc<Session>) {
        let mut current = self.lock();
        if current.as_ref().is_some_and(|other| Arc::ptr_eq(other, session)) {
            *current = None;
        }
    }

    /// The same, because its node is: the next session begins at the next node.
    fn over_at(&self, session: &Arc<Session>) {
        self.over(session);
        self.first.store((session.node + 1) % self.spec.nodes.len().max(1), Ordering::Release);
    }

    /// The session there is, else a new one. Those who come while it is opened wait for it, and share its failure.
    async fn session(&self) -> Result<Arc<Session>, CvpError> {
        if let Some(session) = self.lock().clone() {
            return Ok(session);
        }
        let failed_before = self.failed.count();
        let _opening = self.opening.lock().await;
        if let Some(session) = self.lock().clone() {
            return Ok(session);
        }
        if self.failed.count() != failed_before
            && let Some(error) = self.failed.last()
        {
            return Err(error);
        }
        match self.open().await {
            Ok(session) => {
                let session = Arc::new(session);
                *self.lock() = Some(Arc::clone(&session));
                Ok(session)
            }
            Err(refusals) => Err(self.failed.note(CvpError::Login(Arc::new(refusals)))),
        }
    }

    /// Opens a session at the first node that lets us in.
    async fn open(&self) -> Result<Session, Refusals> {
        let mut refusals = Refusals::default();
        let nodes = self.spec.nodes.len().max(1);
        let first = self.first.load(Ordering::Acquire);
        for at in (first..first + nodes).map(|at| at % nodes) {
            let Some(node) = self.spec.nodes.get(at) else { continue };
            match self.open_at(node).await {
                Ok(headers) => return Ok(Session { node: at, headers }),
                Err(why) => refusals.0.push((node.to_string(), why)),
            }
        }
        Err(refusals)
    }

    async fn open_at(&self, node: &Node) -> Result<header::HeaderMap, Why> {
        let limit = self.spec.limits.login;
        if self.spec.is_cloud && matches!(self.spec.login, Login::Password { .. }) {
            return Err(Why::NeedsToken);
        }
        let mut headers = header::HeaderMap::new();
        let ask = match &self.spec.login {
            Login::Token(token) => {
                headers.insert(header::AUTHORIZATION, secret(&format!("Bearer {token}"))?);
                Ask::get("check the token", "/api/v1/rest/")
            }
            Login::Password { user, password } => {
                let who = json!({ "userId": user, "password": password });
                Ask::post("log in", "/login/authenticate.do", who)
            }
        };
        let sent = self.send(node, &headers, &ask, Deadline::within(limit), limit).await;
        let (status, body) = match sent {
            Sent::Answer { status, body } => (status, body),
            Sent::Unsent(why) => return Err(why),
            Sent::Unreadable(file, why) => return Err(Why::Odd(format!("{}: {why}", file.display()))),
            Sent::NoAnswer(NoAnswer::Late(limit)) => return Err(Why::Late(limit)),
            Sent::NoAnswer(NoAnswer::Lost(source)) => return Err(Why::Lost(source)),
        };
        let refused = |refusal: Refusal| match &self.spec.login {
            Login::Token(_) => Why::Token(refusal),
            Login::Password { user, .. } => Why::Password { user: user.clone(), refusal },
        };
        let value: Value = match ask.meaning(status, &body) {
            Meaning::Fine => ask.value(&body).unwrap_or_default(),
            Meaning::SessionOver(refusal) => return Err(refused(refusal)),
            Meaning::Refused(refusal) if refusal.status < 500 && refusal.status != 404 => {
                return Err(refused(refusal));
            }
            Meaning::Refused(refusal) => return Err(Why::Odd(refusal.to_string())),
            Meaning::Odd(answer) => return Err(Why::Odd(answer)),
        };
        if matches!(self.spec.login, Login::Password { .. }) {
            let id = value.get("sessionId").and_then(Value::as_str).filter(|id| !id.is_empty());
            let id = id.ok_or_else(|| Why::Odd("no session id".to_owned()))?;
            headers.insert("app_session_id", secret(id)?);
            // Some calls look at the one, some at the other.
            let token = value.pointer("/cookie/Value").and_then(Value::as_str);
            let cookie = token.map(|token| format!("; access_token={token}")).unwrap_or_default();
            headers.insert(header::COOKIE, secret(&format!("session_id={id}{cookie}"))?);
        }
        Ok(headers)
    }

    async fn send(
        &self,
        node: &Node,
        headers: &header::HeaderMap,
        ask: &Ask,
        deadline: Deadline,
        limit: Duration,
    ) -> Sent {
        let began = SystemTime::now();
        let url = ask.url(node, self.spec.is_cloud);
        let request = self.http.request(ask.method.clone(), url.clone()).headers(headers.clone());
        let request = match body(request, ask).await {
            Ok(request) => request,
            Err((file, error)) => return Sent::Unreadable(file, error),
        };
        let work = async {
            let mut response = request.send().await?;
            let (status, head) = (response.status().as_u16(), response.headers().clone());
            let mut all = Vec::new();
            while let Some(more) = response.chunk().await? {
                all.extend_from_slice(&more);
            }
            Ok::<_, reqwest::Error>((status, head, all))
        };
        let answer = tokio::time::timeout(deadline.left(), work).await;
        tracing::debug!(
            target: "polder",
            method = %ask.method, path = ask.path, node = %node,
            status = answer.as_ref().ok().and_then(|answer| answer.as_ref().ok()).map(|(status, ..)| status),
            "asked the portal"
        );
        if let Some(recorder) = &self.recorder {
            let answer = match &answer {
                Ok(Ok((status, head, body))) => Ok((*status, head, body.as_slice())),
                Ok(Err(error)) => Err(chain(error)),
                Err(_) => Err("no answer in time".to_owned()),
            };
            recorder.note(&Exchange { began, url: &url, ask, answer });
        }
        match answer {
            Ok(Ok((status, _, body))) => Sent::Answer { status, body },
            Ok(Err(error)) => {
                let error = Arc::new(error.without_url());
                match tls::distrust(&error) {
                    Some(why) => Sent::Unsent(Why::Certificate(why)),
                    None if error.is_connect() => Sent::Unsent(Why::Connection(error)),
                    None => Sent::NoAnswer(NoAnswer::Lost(error)),
                }
            }
            Err(_) => Sent::NoAnswer(NoAnswer::Late(limit)),
        }
    }
}

fn secret(value: &str) -> Result<header::HeaderValue, Why> {
    let mut value = header::HeaderValue::from_str(value)
        .map_err(|_| Why::Odd("a token or session id that no header can carry".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The portal's servers are restarted or busy, or say now and then that a container is none that is one; that passes.
fn is_passing(refusal: &Refusal) -> bool {
    matches!(refusal.status, 502..=504) || refusal.text.contains("Invalid Container id")
}

/// The request with what it carries; else the file that cannot be read, and why.
async fn body(request: RequestBuilder, ask: &Ask) -> Result<RequestBuilder, (PathBuf, io::Error)> {
    let request = request.header(header::ACCEPT, "application/json");
    Ok(match &ask.body {
        Body::Nothing => request.header(header::CONTENT_TYPE, "application/json"),
        Body::Json(value) => request.header(header::CONTENT_TYPE, "application/json").body(value.to_string()),
        Body::File(file) => {
            let (kind, form) = file.form().await.map_err(|error| (file.path().to_owned(), error))?;
            request.header(header::CONTENT_TYPE, kind).body(reqwest::Body::wrap(form))
        }
    })
}

impl Failures {
    fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    fn last(&self) -> Option<CvpError> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, error: CvpError) -> CvpError {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        self.count.fetch_add(1, Ordering::Release);
        error
    }
}
