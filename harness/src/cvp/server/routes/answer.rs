//! An answer, and the ways in which things are refused.

use hyper::{Method, StatusCode, body::Bytes};
use serde::Serialize;
use serde_json::{Value, json};

use super::super::{
    model::{About, Refused, Why},
    wire::classic::Data,
};
use crate::base::id::random_uuid;

/// What is sent back.
#[derive(Debug)]
pub(in crate::cvp::server) struct Answer {
    pub(in crate::cvp::server) status: StatusCode,
    pub(in crate::cvp::server) headers: Vec<(&'static str, String)>,
    pub(in crate::cvp::server) body: Bytes,
}

impl Answer {
    fn new(status: StatusCode, kind: &str, body: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![("content-type", kind.to_owned())], body: body.into() }
    }

    pub(super) fn json(body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => Self::new(StatusCode::OK, "application/json", body),
            Err(error) => Self::broken(&error),
        }
    }

    /// `{"data": ...}`.
    pub(super) fn data(data: impl Serialize) -> Self {
        // Written as it is: some of what is answered is too much to be held twice.
        Self::json(&Data { data })
    }

    /// `{"data": "success"}`.
    pub(super) fn success() -> Self {
        Self::data("success")
    }

    /// Objects one after another, with exactly one line end between two: clients step over one character.
    pub(super) fn stream(objects: impl IntoIterator<Item = (Value, String)>) -> Self {
        let line = |(value, time): (Value, String)| {
            json!({"result": {"value": value, "time": time, "type": "INITIAL"}}).to_string()
        };
        let lines: Vec<String> = objects.into_iter().map(line).collect();
        Self::new(StatusCode::OK, "application/json", lines.join("\n"))
    }

    pub(super) fn page(kind: &str, body: &'static str) -> Self {
        Self::new(StatusCode::OK, kind, body)
    }

    #[must_use]
    pub(super) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// What is refused, as its API says it: the resource API by status, the classic one with status 200 as well, but
    /// for those who are not let in.
    pub(super) fn refused(refused: &Refused, resource: bool) -> Self {
        let (code, status) = refused.grpc();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        if resource {
            return Self { status, ..Self::json(&json!({"code": code, "message": refused.text})) };
        }
        let outside = matches!(refused.why, Why::Unauthorized | Why::Credentials);
        let status = if outside { status } else { StatusCode::OK };
        let body = json!({"errorCode": refused.code(), "errorMessage": refused.text});
        Self { status, ..Self::json(&body) }
    }

    /// What cannot be read at all.
    pub(super) fn bad_request(refused: &Refused, resource: bool) -> Self {
        Self { status: StatusCode::BAD_REQUEST, ..Self::refused(refused, resource) }
    }

    /// There is nothing at this place; old versions say so with status 200.
    pub(super) fn unknown(path: &str, level: u8) -> Self {
        let status = if level < 6 { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let body = json!({"errorCode": "MNF404", "errorMessage": format!("Invalid endpoint {path}")});
        Self { status, ..Self::json(&body) }
    }

    pub(super) fn method_not_allowed<'a>(allowed: impl Iterator<Item = &'a Method>) -> Self {
        let allowed: Vec<&str> = allowed.map(Method::as_str).collect();
        let refused = Refused::invalid(About::Resource, "this method");
        let body = json!({"errorCode": refused.code(), "errorMessage": "Method not allowed"});
        let answer = Self { status: StatusCode::METHOD_NOT_ALLOWED, ..Self::json(&body) };
        answer.with("allow", allowed.join(", "))
    }

    /// What was sent is longer than is taken.
    pub(in crate::cvp::server) fn too_large() -> Self {
        let body = json!({"errorCode": "152718", "errorMessage": "Invalid input parameters.: the body is too large"});
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, ..Self::json(&body) }
    }

    /// An answer of a test's own making.
    pub(in crate::cvp::server) fn made_up(status: StatusCode, kind: &str, body: String) -> Self {
        Self::new(status, kind, body)
    }

    /// A mistake of ours, by an id that is in the log as well.
    pub(in crate::cvp::server) fn broken(error: &dyn std::fmt::Display) -> Self {
        let id = random_uuid();
        tracing::error!(target: "polder", "the portal has broken down ({id}): {error}");
        let body = json!({"code": 13, "message": format!("internal error {id}: {error}")}).to_string();
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "application/json", body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_of_ours_has_an_id() {
        let broken = [Answer::broken(&"one"), Answer::broken(&"one")];
        let [first, second] = broken.map(|answer| {
            assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(body["code"], 13);
            body["message"].as_str().unwrap().to_owned()
        });
        assert!(
            first.starts_with("internal error ") && first.ends_with(": one") && first != second,
            "{first}"
        );
    }
}
