//! All that was asked of a portal and answered, as an HTTP archive (HAR 1.2) that browsers and other tools open. Without
//! secrets; a whole file at every moment, also when this process is killed.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use reqwest::{Url, header::HeaderMap};
use serde_json::{Value, json};

use super::ask::{Ask, Body};
use crate::base::time::Utc;

/// Bytes of a body that are kept.
const KEPT: usize = 64 * 1024;
/// What is kept instead of a secret.
const HIDDEN: &str = "(removed)";
/// Keys whose values are secrets, wherever they stand; in lower case.
const SECRETS: &[&str] =
    &["password", "sessionid", "token", "access_token", "enrollmenttoken", "cookie", "client_secret"];
/// What ends the file.
const END: &[u8] = b"\n]}}\n";

/// Writes the archive; clones write to the same one.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Mutex<Archive>>);

#[derive(Debug)]
struct Archive {
    file: File,
    /// Where the next entry goes.
    end: u64,
    is_empty: bool,
}

/// A question and what became of it.
pub(super) struct Exchange<'a> {
    pub(super) began: SystemTime,
    pub(super) url: &'a Url,
    pub(super) ask: &'a Ask,
    pub(super) answer: Result<(u16, &'a HeaderMap, &'a [u8]), String>,
}

impl Recorder {
    /// Begins an archive in the file `path`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        let creator = json!({ "name": "polder", "version": env!("CARGO_PKG_VERSION") });
        let head = format!("{{\"log\":{{\"version\":\"1.2\",\"creator\":{creator},\"entries\":[");
        file.write_all(head.as_bytes())?;
        file.write_all(END)?;
        let end = u64::try_from(head.len()).unwrap_or(u64::MAX);
        Ok(Self(Arc::new(Mutex::new(Archive { file, end, is_empty: true }))))
    }

    /// Notes an exchange. That it cannot be written is said once in the log, and harms nobody else.
    pub(super) fn note(&self, exchange: &Exchange<'_>) {
        let took = exchange.began.elapsed().unwrap_or_default();
        let entry = entry(exchange, took.as_secs_f64() * 1000.0);
        let mut archive = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = archive.add(&entry) {
            tracing::warn!(target: "polder", "cannot record what the portal is asked: {error}");
        }
    }
}

impl Archive {
    fn add(&mut self, entry: &Value) -> io::Result<()> {
        let mut bytes = if self.is_empty { b"\n".to_vec() } else { b",\n".to_vec() };
        bytes.extend(entry.to_string().into_bytes());
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        bytes.extend_from_slice(END);
        self.file.seek(SeekFrom::Start(self.end))?;
        // In one call: nobody sees it without its end.
        self.file.write_all(&bytes)?;
        self.end += length;
        self.is_empty = false;
        Ok(())
    }
}

fn entry(exchange: &Exchange<'_>, took: f64) -> Value {
    let Exchange { began, url, ask, answer } = exchange;
    let utc = Utc::from(*began);
    let second = utc.to_string();
    let began = format!("{}.{:03}Z", second.trim_end_matches('Z'), utc.millis);
    let pair = |(name, value): (&str, &str)| json!({ "name": name, "value": value });
    let query: Vec<Value> = ask
        .query
        .iter()
        .map(|(name, value)| pair((name, if is_secret(name) { HIDDEN } else { value })))
        .collect();
    let mut request = json!({
        "method": ask.method.as_str(),
        "url": url.as_str(),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": [pair(("accept", "application/json"))],
        "queryString": query,
        "headersSize": -1,
        "bodySize": -1,
    });
    let sent = match &ask.body {
        Body::Nothing => None,
        Body::Json(value) => Some(("application/json", cut(&without_secrets(value).to_string()))),
        Body::File(file) => Some(("multipart/form-data", file.to_string())),
    };
    if let (Some((kind, text)), Some(request)) = (sent, request.as_object_mut()) {
        request.insert("postData".into(), json!({ "mimeType": kind, "text": text }));
    }
    let response = match answer {
        Ok((status, head, body)) => {
            let headers: Vec<Value> = head
                .iter()
                .filter(|(name, _)| *name != reqwest::header::SET_COOKIE)
                .map(|(name, value)| pair((name.as_str(), value.to_str().unwrap_or(HIDDEN))))
                .collect();
            let kind = head.get(reqwest::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            let text = if ask.is_secret { HIDDEN.to_owned() } else { text_of(body) };
            json!({
                "status": status,
                "statusText": reqwest::StatusCode::from_u16(*status).ok().and_then(|s| s.canonical_reason()).unwrap_or(""),
                "httpVersion": "HTTP/1.1",
                "cookies": [],
                "headers": headers,
                "content": { "size": body.len(), "mimeType": kind.unwrap_or("x-unknown"), "text": text },
                "redirectURL": "",
                "headersSize": -1,
                "bodySize": body.len(),
            })
        }
        Err(why) => json!({
            "status": 0,
            "statusText": "",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [],
            "content": { "size": 0, "mimeType": "x-unknown" },
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": -1,
            "_error": why,
        }),
    };
    json!({
        "startedDateTime": began,
        "time": took,
        "request": request,
        "response": response,
        "cache": {},
        "timings": { "send": 0, "wait": took, "receive": 0 },
        "comment": ask.what,
    })
}

/// A body as it is kept: streams value by value, and what is no JSON as it came, which holds no secrets of ours.
fn text_of(body: &[u8]) -> String {
    let values =
        serde_json::Deserializer::from_slice(body).into_iter::<Value>().collect::<Result<Vec<_>, _>>();
    match values {
        Ok(values) => {
            let shown: Vec<String> = values.iter().map(|value| without_secrets(value).to_string()).collect();
            cut(&shown.join("\n"))
        }
        Err(_) => cut(&String::from_utf8_lossy(body)),
    }
}

fn is_secret(name: &str) -> bool {
    SECRETS.contains(&name.to_lowercase().as_str())
}

fn without_secrets(value: &Value) -> Value {
    match value {
        Value::Object(object) => object
            .iter()
            .map(|(name, value)| {
                let is_word = value.is_string() || value.is_object();
                let hide = is_secret(name) && is_word && value.as_str() != Some("");
                (name.clone(), if hide { Value::from(HIDDEN) } else { without_secrets(value) })
            })
            .collect(),
        Value::Array(values) => values.iter().map(without_secrets).collect(),
        other => other.clone(),
    }
}

fn cut(text: &str) -> String {
    if text.len() <= KEPT {
        return text.to_owned();
    }
    let at = (0..=KEPT).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    format!("{}... ({} bytes in all)", text.get(..at).unwrap_or_default(), text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(asks: &[(Ask, &str)]) -> Value {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cvp.har");
        let recorder = Recorder::create(&path).unwrap();
        let read = || serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(read()["log"]["entries"], json!([]));
        let url = Url::parse("https://cvp1/web/x").unwrap();
        for (at, (ask, body)) in asks.iter().enumerate() {
            let head = HeaderMap::from_iter([(
                reqwest::header::SET_COOKIE,
                reqwest::header::HeaderValue::from_static("session_id=s3cret"),
            )]);
            let answer = Ok((200, &head, body.as_bytes()));
            recorder.note(&Exchange { began: SystemTime::now(), url: &url, ask, answer });
            // It is whole after each one.
            assert_eq!(read()["log"]["entries"].as_array().unwrap().len(), at + 1);
        }
        read()
    }

    #[test]
    fn an_archive_is_whole_at_every_moment_and_holds_no_secret() {
        let login =
            Ask::post("log in", "/login/authenticate.do", json!({"userId": "ada", "password": "s3cret"}));
        let answer =
            r#"{"sessionId":"s3cret","cookie":{"Name":"access_token","Value":"s3cret"},"username":"ada"}"#;
        let token = Ask::post("make a token", "/api/x", json!({"key": {"id": ""}, "token": ""}));
        let tokens = "{\"result\":{\"token\":\"s3cret\"}}\n{\"result\":{\"user\":\"bob\"}}";
        let archive = recorded(&[(login, answer), (token, tokens), (Ask::get("look", "/x"), "<html>")]);
        let text = archive.to_string();
        assert!(!text.contains("s3cret"), "{text}");
        for kept in ["ada", "bob", "log in", "<html>"] {
            assert!(text.contains(kept), "{kept} is missing in {text}");
        }
    }

    #[test]
    fn long_bodies_are_cut() {
        let long = "ü".repeat(KEPT);
        let archive = recorded(&[(Ask::get("look", "/x"), &long)]);
        let text = archive["log"]["entries"][0]["response"]["content"]["text"].as_str().unwrap().to_owned();
        assert!(text.len() < KEPT + 50 && text.ends_with("(131072 bytes in all)"));
    }
}
