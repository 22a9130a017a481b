//! Waiting for an answer over HTTP: from outside as any other machine would get it, or on the guest's own loopback.

use std::{
    error::Error,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, Uri, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    error::GuestError,
    handle::{Guest, timed, verb},
    limits,
    pattern::Pattern,
    ssh::Ssh,
    waiting::{Seen, shorten},
};
use crate::{
    base::place::Place,
    image::{Ability, info::Unsupported},
};

/// Bytes of a body that are read at most.
const BODY: usize = 1024 * 1024;

/// A question over HTTP and the answer that is wanted: any that says that it went well, unless told otherwise.
#[derive(Debug, Clone)]
pub struct Http {
    port: u16,
    path: String,
    inside: bool,
    status: Option<u16>,
    body: Option<Pattern>,
    /// The first mistake that was made with it, and where.
    wrong: Option<(String, Place)>,
}

/// An answer over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// Its status, such as 200.
    pub status: u16,
    /// Its body, invalid UTF-8 replaced.
    pub body: String,
}

impl Http {
    /// `GET` of a path, with its query, on a port of the machine's address.
    #[must_use]
    #[track_caller]
    pub fn get(port: u16, path: impl Into<String>) -> Self {
        let (path, at) = (path.into(), Place::of_caller());
        let wrong = match path.parse::<Uri>() {
            _ if port == 0 => Some("no server has the port 0".to_owned()),
            Ok(_) if path.starts_with('/') => None,
            Ok(_) => Some(format!("the path `{path}` does not begin with `/`")),
            Err(error) => Some(format!("`{path}` is no path: {error}")),
        };
        let wrong = wrong.map(|wrong| (wrong, at));
        Self { port, path, inside: false, status: None, body: None, wrong }
    }

    /// Asked on the machine's own 127.0.0.1, for servers nobody else reaches. Needs ssh.
    #[must_use]
    pub fn inside(self) -> Self {
        Self { inside: true, ..self }
    }

    /// The status it has to have, instead of any from 200 to 299.
    #[must_use]
    #[track_caller]
    pub fn status(self, status: u16) -> Self {
        let (is_one, at) = ((100..600).contains(&status), Place::of_caller());
        let wrong = (!is_one).then(|| (format!("no answer has the status {status}"), at));
        Self { status: Some(status), wrong: self.wrong.or(wrong), ..self }
    }

    /// What its body has to have in it.
    #[must_use]
    pub fn body(self, pattern: impl Into<Pattern>) -> Self {
        Self { body: Some(pattern.into()), ..self }
    }

    /// The answer, if it is as wanted; else what it is.
    fn judge(&self, answer: HttpAnswer) -> Seen<HttpAnswer> {
        let right = match self.status {
            Some(wanted) => answer.status == wanted,
            None => (200..300).contains(&answer.status),
        };
        if right && self.body.as_ref().is_none_or(|pattern| pattern.is_in(&answer.body)) {
            return Seen::Ready(answer);
        }
        Seen::NotYet(match shorten(&answer.body) {
            body if body.is_empty() => format!("status {} without a body", answer.status),
            body => format!("status {}, its body: {body}", answer.status),
        })
    }
}

impl fmt::Display for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, path, inside, status, body, .. } = self;
        write!(f, "GET {path} on port {port}{}", if *inside { " inside" } else { "" })?;
        if let Some(status) = status {
            write!(f, " with status {status}")?;
        }
        match body {
            Some(pattern) => write!(f, " and {pattern} in its body"),
            None => Ok(()),
        }
    }
}

impl Guest {
    /// Asks over HTTP until the answer is as wanted; returns it. An answer of any other kind is waited out.
    ///
    /// # Errors
    /// [`GuestError::Wait`], [`GuestError::Panicked`]; [`GuestError::Unsupported`] without an address;
    /// [`GuestError::Question`].
    pub async fn wait_for_http(&self, http: &Http, limit: Duration) -> Result<HttpAnswer, GuestError> {
        timed(verb!(self, "wait_for_http", http = http), async {
            if let Some((wrong, at)) = &http.wrong {
                let why = format!("{wrong}{at}");
                return Err(GuestError::Question {
                    machine: self.name().clone(),
                    what: http.to_string(),
                    why,
                });
            }
            let Some(ssh) = &self.0.ssh else {
                let (machine, image) = (self.name().clone(), self.0.spec.image.clone());
                let source = Unsupported { image, ability: Ability::Ssh };
                return Err(GuestError::Unsupported { machine, what: "ask over HTTP".to_owned(), source });
            };
            let look = self.scaled(limits::LOOK);
            self.wait(&http.to_string(), limit, limits::SHORT_PAUSE, || async {
                match tokio::time::timeout(look, Box::pin(ask(ssh, http))).await {
                    Ok(Ok(answer)) => http.judge(answer),
                    Ok(Err(why)) => Seen::NotYet(why),
                    Err(_) => Seen::NotYet(format!("no answer within {:.1} s", look.as_secs_f64())),
                }
            })
            .await
        })
        .await
    }
}

async fn ask(ssh: &Ssh, http: &Http) -> Result<HttpAnswer, String> {
    if http.inside {
        let addr = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), http.port);
        let link = ssh.link().await.map_err(|error| told(&*error))?;
        let refused = |error| format!("no connection inside: {}", told(&error));
        converse(link.forward(addr).await.map_err(refused)?, addr, &http.path).await
    } else {
        let addr = SocketAddr::new(ssh.spec().addr.ip(), http.port);
        let stream = ssh.spec().dial.dial(addr, limits::DIAL_ONCE).await;
        converse(stream.map_err(|error| error.to_string())?, addr, &http.path).await
    }
    .map_err(|error| told(&*error))
}

/// One question and its answer.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    addr: SocketAddr,
    path: &str,
) -> Result<HttpAnswer, Box<dyn Error + Send + Sync>> {
    let request =
        Request::get(path).header(header::HOST, addr.to_string()).header(header::CONNECTION, "close");
    let request = request.body(Empty::<Bytes>::new())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), BODY).collect().await?.to_bytes();
        Ok(HttpAnswer { status, body: String::from_utf8_lossy(&body).into_owned() })
    };
    // It moves the bytes; how it ends, the answer says.
    let moving = async {
        let _ = connection.await;
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        answer = answer => answer,
        never = moving => match never {},
    }
}

/// An error and its causes, in one line.
fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::well(Http::get(80, "/"), 204, "", None)]
    #[case::not_well(Http::get(80, "/"), 503, "", Some("status 503 without a body"))]
    #[case::moved(Http::get(80, "/"), 301, " x\n", Some("status 301, its body: x"))]
    #[case::wanted(Http::get(80, "/").status(404), 404, "", None)]
    #[case::another(Http::get(80, "/").status(404), 200, "hm", Some("status 200, its body: hm"))]
    #[case::body(Http::get(80, "/").body("ok"), 200, "all ok", None)]
    #[case::other_body(Http::get(80, "/").body("ok"), 200, "no", Some("status 200, its body: no"))]
    fn what_is_an_answer(
        #[case] http: Http,
        #[case] status: u16,
        #[case] body: &str,
        #[case] expected: Option<&str>,
    ) {
        let seen = http.judge(HttpAnswer { status, body: body.to_owned() });
        let not_yet = if let Seen::NotYet(status) = &seen { Some(status.as_str()) } else { None };
        assert_eq!(not_yet, expected);
        assert!(expected.is_some() || matches!(seen, Seen::Ready(_)));
    }
}
