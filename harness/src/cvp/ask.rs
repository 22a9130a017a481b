//! One question to the portal: where it goes, what it says, and whether it may be asked again.

use std::{fmt, time::Duration};

use reqwest::{Method, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    answer::{Meaning, meaning, meaning_of_stream, value, value_of_stream},
    spec::Node,
    upload::Upload,
};

/// A question.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    /// What it is for, in words that follow "cannot".
    pub(super) what: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Body,
    /// Whether asking twice does no more than asking once, so that it is asked again when no answer came.
    pub(super) may_repeat: bool,
    /// Whether the answer is a stream of values.
    pub(super) is_stream: bool,
    /// Whether the whole answer is a secret, which nobody keeps.
    pub(super) is_secret: bool,
    /// How long it may take in all, where it is not the usual.
    pub(super) limit: Option<Duration>,
}

/// What a question carries.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// Nothing: a GET.
    Nothing,
    /// A JSON value; [`Value::Null`] where a POST says nothing, as the portal expects.
    Json(Value),
    /// A file, as a form carries it.
    File(Upload),
}

impl Ask {
    /// Reads something.
    pub(super) fn get(what: impl fmt::Display, path: impl Into<String>) -> Self {
        Self {
            what: what.to_string(),
            method: Method::GET,
            path: path.into(),
            query: Vec::new(),
            body: Body::Nothing,
            may_repeat: true,
            is_stream: false,
            is_secret: false,
            limit: None,
        }
    }

    /// Changes something; it is never asked twice without an answer.
    pub(super) fn post(what: impl fmt::Display, path: impl Into<String>, body: Value) -> Self {
        let get = Self::get(what, path);
        Self { method: Method::POST, body: Body::Json(body), may_repeat: false, ..get }
    }

    /// Sends a file; it is never asked twice without an answer.
    pub(super) fn upload(what: impl fmt::Display, path: impl Into<String>, file: Upload) -> Self {
        Self { body: Body::File(file), ..Self::post(what, path, Value::Null) }
    }

    /// Removes something; that it is gone already is a refusal, so that it is never asked twice either.
    pub(super) fn delete(what: impl fmt::Display, path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::DELETE, ..Self::post(what, path, body) }
    }

    pub(super) fn query(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// From the row `start` on, up to but without the row `end`; 0 and 0 are all of them.
    pub(super) fn rows(self, start: usize, end: usize) -> Self {
        self.query("startIndex", start).query("endIndex", end)
    }

    /// It does no more when it is asked twice.
    pub(super) fn repeatable(mut self) -> Self {
        self.may_repeat = true;
        self
    }

    /// The answer is a stream.
    pub(super) fn stream(mut self) -> Self {
        self.is_stream = true;
        self
    }

    /// What is answered is a secret as a whole.
    pub(super) fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    pub(super) fn within(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Where it goes at a node. Every value is encoded.
    pub(super) fn url(&self, node: &Node, is_cloud: bool) -> Url {
        let mut url = node.url().clone();
        let own = self.path.starts_with("/api/") || self.path.starts_with("/cvpservice/");
        let before = match (own, is_cloud) {
            (true, _) => "",
            (false, true) => "/cvpservice",
            (false, false) => "/web",
        };
        url.set_path(&format!("{before}{}", self.path));
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }

    pub(super) fn meaning(&self, status: u16, body: &[u8]) -> Meaning {
        if self.is_stream { meaning_of_stream(status, body) } else { meaning(status, body) }
    }

    /// What is in an answer that means well.
    ///
    /// # Errors
    /// It is something else than was expected.
    pub(super) fn value<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, serde_json::Error> {
        if self.is_stream { value_of_stream(body) } else { value(body) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("/task/getTasks.do", false, "https://cvp1/web/task/getTasks.do")]
    #[case("/task/getTasks.do", true, "https://cvp1/cvpservice/task/getTasks.do")]
    #[case("/cvpservice/audit/getLogs.do", false, "https://cvp1/cvpservice/audit/getLogs.do")]
    #[case("/api/v1/rest/", true, "https://cvp1/api/v1/rest/")]
    fn each_family_has_its_place(#[case] path: &str, #[case] is_cloud: bool, #[case] expected: &str) {
        let node = Node::parse("cvp1").unwrap();
        assert_eq!(Ask::get("look", path).url(&node, is_cloud).as_str(), expected);
    }

    #[test]
    fn every_value_is_encoded() {
        let ask =
            Ask::get("look", "/configlet/getConfigletByName.do").query("name", "a&b=c#d+e f%/ü").rows(0, 50);
        let url = ask.url(&Node::parse("cvp1").unwrap(), false);
        assert_eq!(url.query(), Some("name=a%26b%3Dc%23d%2Be+f%25%2F%C3%BC&startIndex=0&endIndex=50"));
    }
}
