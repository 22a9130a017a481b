//! A request, read: where to, who, what.

use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::{HeaderMap, Method, Uri, body::Bytes, header};
use percent_encoding::percent_decode;
use serde_json::Value;

/// A request.
#[derive(Debug)]
pub(in crate::cvp::server) struct Request {
    pub(super) method: Method,
    /// Without what classic paths begin with, and with each name that has several as the one of them we use.
    pub(in crate::cvp::server) path: String,
    query: Vec<(String, String)>,
    /// Everything that may tell who asks: ids of sessions, and tokens.
    pub(super) secrets: Vec<String>,
    /// Name and password, where they are sent as HTTP has it.
    pub(super) basic: Option<(String, String)>,
    pub(super) content_type: String,
    /// Whether nobody on the way can listen.
    pub(super) is_secret: bool,
    pub(super) body: Bytes,
}

/// Names for the same place; the second is the one we use.
const ALIASES: &[(&str, &str)] = &[
    ("/ztp/", "/provisioning/"),
    ("/workflow/", "/task/"),
    ("/inventory/v2/saveInventory.do", "/inventory/add/saveInventory.do"),
    ("/image/v2/", "/image/"),
];

impl Request {
    pub(in crate::cvp::server) fn new(
        method: Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: Bytes,
        is_secret: bool,
    ) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let authorization = text(header::AUTHORIZATION);
        let mut secrets = vec![];
        secrets
            .extend(headers.get("app_session_id").and_then(|value| value.to_str().ok()).map(str::to_owned));
        secrets.extend(authorization.strip_prefix("Bearer ").map(|token| token.trim().to_owned()));
        for cookie in headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let pairs = cookie.split(';').filter_map(|pair| pair.trim().split_once('='));
            let known = pairs.filter(|(name, _)| matches!(*name, "session_id" | "access_token"));
            secrets.extend(known.map(|(_, value)| value.to_owned()));
        }
        let basic = authorization.strip_prefix("Basic ").and_then(|basic| {
            let plain = String::from_utf8(BASE64_STANDARD.decode(basic.trim()).ok()?).ok()?;
            plain.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
        });
        let (mut path, mut query) = (normalize(uri.path()), uri.query().map(pairs).unwrap_or_default());
        if let Some((device, template)) = snapshot_of(&path) {
            query.extend([("deviceId".to_owned(), device), ("templateId".to_owned(), template)]);
            path = SNAPSHOT.to_owned();
        }
        Self {
            method,
            path,
            query,
            secrets,
            basic,
            content_type: text(header::CONTENT_TYPE).to_owned(),
            is_secret,
            body,
        }
    }

    /// The first value of this name.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What was sent; nothing is `null`, and so is what is no JSON by its type.
    pub(super) fn json(&self) -> Result<Value, serde_json::Error> {
        if self.body.iter().all(u8::is_ascii_whitespace) || self.content_type.starts_with("multipart/") {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body)
    }
}

/// The place of what was taken last, which has names in its path; we have them in the query.
pub(super) const SNAPSHOT: &str = "/api/v1/rest/cvp/snapshots/status";

/// The device and the template such a path names.
fn snapshot_of(path: &str) -> Option<(String, String)> {
    let names = path.strip_prefix(SNAPSHOT)?.strip_prefix('/')?;
    let (device, template) = names.split_once("/snapshots/ids/")?;
    Some((device.to_owned(), template.to_owned()))
}

fn normalize(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty()) {
        plain.push('/');
        plain.push_str(&decode(part, false));
    }
    // The resource API has a place called like that of its own.
    if path.ends_with('/') || plain.is_empty() {
        plain.push('/');
    }
    let classic = ["/web/", "/cvpservice/"].iter().find_map(|prefix| plain.strip_prefix(prefix));
    let Some(classic) = classic else { return plain };
    let classic = format!("/{classic}");
    let alias =
        ALIASES.iter().find_map(|(alias, ours)| Some(format!("{ours}{}", classic.strip_prefix(alias)?)));
    alias.unwrap_or(classic)
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name, true), decode(value, true))
    };
    query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect()
}

fn decode(text: &str, plus_is_blank: bool) -> String {
    let text = if plus_is_blank { text.replace('+', " ") } else { text.to_owned() };
    percent_decode(text.as_bytes()).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("/web/task/getTasks.do", "/task/getTasks.do")]
    #[case("/web//provisioning//deleteAllTempAction.do", "/provisioning/deleteAllTempAction.do")]
    #[case("/cvpservice/ztp/addTempAction.do", "/provisioning/addTempAction.do")]
    #[case("/web/workflow/getTasks.do", "/task/getTasks.do")]
    #[case("/api/v1/rest/", "/api/v1/rest/")]
    #[case("/api/resources/a%20b", "/api/resources/a b")]
    #[case("/", "/")]
    #[case("/task/getTasks.do", "/task/getTasks.do")]
    fn paths_have_one_name(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(normalize(path), expected);
    }

    #[rstest::rstest]
    #[case("", &[])]
    #[case("a=b+c&d=e%20f%2Bg&h", &[("a", "b c"), ("d", "e f+g"), ("h", "")])]
    #[case("netElementId=00:1c:73:00:00:01", &[("netElementId", "00:1c:73:00:00:01")])]
    fn queries_are_decoded(#[case] query: &str, #[case] expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(pairs(query), expected);
    }
}
