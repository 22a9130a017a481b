//! Requests over HTTP: what is sent is a body, such as the XML of an appliance's interface, and what is answered is looked at.
//! Certificates have to be good, unless the file says otherwise.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use reqwest::{
    Client, Method, Response, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};

use super::{known::Known, login::Login};
use crate::{
    base::{dial::BoxFuture, text::chain, wait::Deadline},
    change::{Driver, DriverError, Heard, Request, Said, Session, Target, Text, cond::Element},
    cvp::distrust,
};

/// Where an interface of XML says what became of a request.
const RESULTS: &str = "results";

/// Sends requests.
#[derive(Debug)]
pub(super) struct Http {
    pub(super) client: Client,
    pub(super) url: Text,
    pub(super) method: Method,
    pub(super) headers: BTreeMap<String, Text>,
    /// Who sends them, if that has to be said.
    pub(super) login: Option<Login>,
}

impl Driver for Http {
    fn secrets(&self) -> Vec<String> {
        self.login.iter().map(|login| login.secret().to_owned()).collect()
    }

    fn open<'a>(
        &'a self,
        target: Target<'a>,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn Session>, DriverError>> {
        Box::pin(async move {
            let user = self.login.as_ref().and_then(Login::user);
            let texts = std::iter::once(&self.url).chain(self.headers.values()).chain(user);
            let known = Known::of(target, texts, deadline).await?;
            let said = known.fill(&self.url)?;
            let url = Url::parse(&said).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            let url = url.ok_or_else(|| known.unconnected(format!("`{said}` is no URL of http or https")))?;
            let headers = Arc::new(self.headers(&known)?);
            let (client, method) = (self.client.clone(), self.method.clone());
            Ok(Box::new(Requests { known, client, url, method, headers }) as Box<dyn Session>)
        })
    }
}

impl Http {
    fn headers(&self, known: &Known) -> Result<HeaderMap, DriverError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let authorization = match &self.login {
            None => None,
            Some(Login::Token(token)) => Some(format!("Bearer {token}")),
            Some(Login::User { user, password }) => {
                Some(format!("Basic {}", BASE64.encode(format!("{}:{password}", known.fill(user)?))))
            }
        };
        if let Some(authorization) = authorization {
            let value = HeaderValue::from_str(&authorization);
            let mut value = value.map_err(|_| known.unconnected("no header can carry the token"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        for (name, text) in &self.headers {
            let value = HeaderValue::from_str(&known.fill(text)?);
            let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value) else {
                return Err(known.unconnected(format!("the header `{name}` has a value that none can have")));
            };
            headers.insert(name, value);
        }
        Ok(headers)
    }
}

struct Requests {
    known: Known,
    client: Client,
    url: Url,
    method: Method,
    headers: Arc<HeaderMap>,
}

impl Session for Requests {
    fn exchange<'a>(
        &'a mut self,
        request: Request<'a>,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Said, DriverError>> {
        Box::pin(async move {
            request.expect_so_far(&self.known.device)?;
            let Some(send) = request.send else { return Ok(Said::default()) };
            let mut heard = Heard::default();
            let (method, url, body) = self.read(send)?;
            let asked = self.ask(method, url, body, &mut heard);
            let asked = tokio::time::timeout(deadline.left(), asked).await;
            let said = heard.said();
            match asked {
                Ok(Ok(status)) => Ok(judged(status, said)),
                Ok(Err(error)) => Err(self.failed(error, said)),
                Err(_) => Err(DriverError::TimedOut {
                    device: self.known.device.clone(),
                    what: format!("{} did not answer", self.url.origin().ascii_serialization()),
                    said: Box::new(said),
                }),
            }
        })
    }

    fn close(self: Box<Self>, _: Deadline) -> BoxFuture<'static, Result<(), DriverError>> {
        Box::pin(async { Ok(()) })
    }
}

impl Requests {
    /// What is to be done, where, and with what. It is at the server of the driver: what it knows is for nobody else.
    fn read<'a>(&self, send: &'a str) -> Result<(Method, Url, &'a str), DriverError> {
        let Some((method, path, body)) = line(send) else {
            return Ok((self.method.clone(), self.url.clone(), send));
        };
        let url = self.url.join(path).ok().filter(|url| url.origin() == self.url.origin());
        let url = url.ok_or_else(|| self.known.refused(format!("`{path}` is no path at its server")))?;
        Ok((method, url, body))
    }

    async fn ask(
        &self,
        method: Method,
        url: Url,
        body: &str,
        heard: &mut Heard,
    ) -> Result<reqwest::StatusCode, reqwest::Error> {
        let mut request = self.client.request(method, url).headers((*self.headers).clone());
        if !body.is_empty() {
            if !self.headers.contains_key(CONTENT_TYPE) {
                request = request.header(CONTENT_TYPE, kind(body));
            }
            request = request.body(body.to_owned());
        }
        let mut response: Response = request.send().await?;
        while let Some(piece) = response.chunk().await? {
            heard.stdout(&piece);
        }
        Ok(response.status())
    }

    fn failed(&self, error: reqwest::Error, said: Said) -> DriverError {
        // It may have a password in it.
        let error = error.without_url();
        match distrust(&error) {
            Some(why) => self.known.unconnected(format!("its certificate is not trusted: {why}")),
            None if error.is_connect() => self.known.unconnected(chain(&error)),
            None if error.is_builder() => self.known.refused(chain(&error)),
            None => {
                let (device, why) = (self.known.device.clone(), chain(&error));
                DriverError::Lost { device, why, said: Box::new(said) }
            }
        }
    }
}

/// The request line that a text may begin with, and the body after it.
fn line(send: &str) -> Option<(Method, &str, &str)> {
    let (first, body) = send.split_once('\n').unwrap_or((send, ""));
    let (method, path) = first.trim_end().split_once(' ')?;
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    if !is_method || !path.starts_with('/') || path.contains(char::is_whitespace) {
        return None;
    }
    let body = body.strip_prefix("\r\n").or_else(|| body.strip_prefix('\n')).unwrap_or(body);
    Some((method.parse().ok()?, path, body))
}

/// What a body is, by how it begins.
fn kind(body: &str) -> &'static str {
    match body.trim_start().chars().next() {
        Some('<') => "text/xml; charset=utf-8",
        Some('{' | '[') => "application/json",
        _ => "text/plain; charset=utf-8",
    }
}

/// What an answer comes to: what its XML says of itself, else what its status says.
fn judged(status: reqwest::StatusCode, mut said: Said) -> Said {
    let is_xml = said.output.trim_start().starts_with('<');
    said.tree = if is_xml { Element::parse(&said.output).ok() } else { None };
    let results = said.tree.iter().flat_map(|root| std::iter::once(root).chain(&root.children));
    let results = results.into_iter().find(|element| element.name == RESULTS);
    let attribute = |name: &str| {
        let found = results?.attributes.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    let (own, errno, reason) = (attribute("status"), attribute("errno"), attribute("reason"));
    let phrase = status.to_string();
    (said.status, said.errno, said.reason) = match own {
        Some(own) if status.is_success() => (Some(own), errno.and_then(|errno| errno.parse().ok()), reason),
        _ if status.is_success() => (Some("passed".to_owned()), None, None),
        _ => (Some("failed".to_owned()), Some(status.as_u16().into()), Some(phrase.clone())),
    };
    said.failure = match said.status.as_deref() {
        Some("passed") => None,
        _ if !status.is_success() => Some(format!("HTTP status {phrase}")),
        other => {
            let reason = said.reason.as_deref().unwrap_or("without a reason");
            Some(format!("{}: {reason}", other.unwrap_or("failed")))
        }
    };
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("<x/>", None)]
    #[case("{\"GET\": \"/a\"}", None)]
    #[case("GET or /post", None)]
    #[case("get /a", None)]
    #[case("DELETE /api/vlans/7", Some(("DELETE", "/api/vlans/7", "")))]
    #[case("PUT /a?b=c\r\n\r\n{}", Some(("PUT", "/a?b=c", "{}")))]
    #[case("POST /a\n<x/>\n\n", Some(("POST", "/a", "<x/>\n\n")))]
    fn a_text_may_begin_with_a_request_line(
        #[case] send: &str,
        #[case] expected: Option<(&str, &str, &str)>,
    ) {
        let found = line(send);
        let found = found.as_ref().map(|(method, path, body)| (method.as_str(), *path, *body));
        assert_eq!(found, expected);
    }

    #[rstest::rstest]
    #[case(200, "<netapp><results status='passed'/></netapp>", "passed", None, None)]
    #[case(
        200,
        "<netapp><results status='failed' errno='13040' reason='no volume'/></netapp>",
        "failed",
        Some(13040),
        Some("failed: no volume")
    )]
    #[case(200, "<results status='odd'/>", "odd", None, Some("odd: without a reason"))]
    #[case(200, "<html>", "passed", None, None)]
    #[case(204, "", "passed", None, None)]
    #[case(404, "<results status='passed'/>", "failed", Some(404), Some("HTTP status 404 Not Found"))]
    fn what_an_answer_comes_to(
        #[case] status: u16,
        #[case] body: &str,
        #[case] expected: &str,
        #[case] errno: Option<i64>,
        #[case] failure: Option<&str>,
    ) {
        let said = judged(
            reqwest::StatusCode::from_u16(status).unwrap(),
            Said { output: body.to_owned(), ..Said::default() },
        );
        assert_eq!(
            (said.status.as_deref(), said.errno, said.failure.as_deref()),
            (Some(expected), errno, failure)
        );
    }
}
