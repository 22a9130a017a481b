//! What an answer of the portal means, from its status and its body alone: a value, a refusal, or the end of our session.
//!
//! The portal's families of calls tell errors in different ways: the classic one inside of an answer that looks fine, the
//! resource and service APIs by the HTTP status with a gRPC code.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

use super::error::Refusal;

/// What an answer means.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meaning {
    /// It was done, and the body is what was asked for: see [`value`] and [`value_of_stream`].
    Fine,
    /// The session is over; nothing was done.
    SessionOver(Refusal),
    /// The portal refused.
    Refused(Refusal),
    /// It is not an answer of a portal; what it is, in a few words.
    Odd(String),
}

/// The classic API's code for a call without a session.
const NO_SESSION: &str = "112498";
/// What the pages of a portal hold instead of JSON when the session is over.
const LOGGED_OUT: &str = "LOG OUT MESSAGE";
const UNAUTHORIZED: &str = "User is unauthorized";

/// What an answer with one JSON value means.
pub(super) fn meaning(status: u16, body: &[u8]) -> Meaning {
    if let Some(early) = early(status, body) {
        return early;
    }
    if is_nothing(body) {
        return Meaning::Fine;
    }
    // Answers are long, and hardly any tells an error: nothing else is kept of them here.
    let is_object = body.trim_ascii_start().first() == Some(&b'{');
    let told = match is_object {
        true => serde_json::from_slice(body).map(|Told { error_code }| error_code),
        false => serde_json::from_slice::<IgnoredAny>(body).map(|_| Value::Null),
    };
    match told {
        Ok(Value::Null) => Meaning::Fine,
        Ok(_) => serde_json::from_slice(body)
            .map_or_else(|error| broken(status, body, &error), |value| one(status, &value)),
        Err(error) => broken(status, body, &error),
    }
}

/// What an answer of the resource API with a stream of values means.
pub(super) fn meaning_of_stream(status: u16, body: &[u8]) -> Meaning {
    if let Some(early) = early(status, body) {
        return early;
    }
    for piece in serde_json::Deserializer::from_slice(body).into_iter::<Option<Piece<IgnoredAny>>>() {
        match piece {
            Ok(None | Some(Piece { result: Some(_), .. })) => {}
            Ok(Some(Piece { error: Some(error), .. })) => return Meaning::Refused(refusal(status, &error)),
            Ok(Some(_)) => return Meaning::Odd("a stream of other things than results".to_owned()),
            Err(error) if error.is_data() => {
                return Meaning::Odd("a stream of other things than results".to_owned());
            }
            Err(error) => return broken(status, body, &error),
        }
    }
    Meaning::Fine
}

/// What is in an answer that means well; nothing is `null`.
///
/// # Errors
/// It is something else than was expected.
pub(super) fn value<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(if is_nothing(body) { b"null" } else { body })
}

/// The same of a stream: all its values, as an array.
///
/// # Errors
/// They are something else than was expected.
pub(super) fn value_of_stream<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    let pieces = serde_json::Deserializer::from_slice(body).into_iter::<Option<Piece<Value>>>();
    let values: Vec<Value> =
        pieces.filter_map(|piece| piece.map(|piece| piece?.result).transpose()).collect::<Result<_, _>>()?;
    serde_json::from_value(Value::Array(values))
}

/// A part of a long list.
#[derive(Debug)]
pub(super) struct Page<T> {
    /// How long the whole list is, as far as is said.
    pub(super) total: Option<u64>,
    pub(super) rows: Vec<T>,
}

/// The rows of a list that stand under the key `list`.
///
/// # Errors
/// They are something else than was expected.
pub(super) fn page<T: DeserializeOwned>(body: &[u8], list: &str) -> Result<Page<T>, serde_json::Error> {
    if is_nothing(body) {
        return Ok(Page { total: None, rows: Vec::new() });
    }
    let mut from = serde_json::Deserializer::from_slice(body);
    let page = from.deserialize_map(PageOf { list, of: PhantomData })?;
    from.end()?;
    Ok(page)
}

struct PageOf<'a, T> {
    list: &'a str,
    of: PhantomData<T>,
}

impl<'de, T: DeserializeOwned> Visitor<'de> for PageOf<'_, T> {
    type Value = Page<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list under the key `{}`", self.list)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Page<T>, A::Error> {
        let mut page = Page { total: None, rows: Vec::new() };
        while let Some(key) = map.next_key::<String>()? {
            if key == self.list {
                page.rows = map.next_value::<Option<Vec<T>>>()?.unwrap_or_default();
            } else if key == "total" {
                page.total = map.next_value::<Value>()?.as_u64();
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(page)
    }
}

/// Of an answer, where the classic API tells that it is an error.
#[derive(Deserialize)]
struct Told {
    #[serde(default, rename = "errorCode")]
    error_code: Value,
}

/// A piece of a stream.
#[derive(Deserialize)]
struct Piece<T> {
    result: Option<T>,
    error: Option<Value>,
}

/// What the status alone decides.
fn early(status: u16, body: &[u8]) -> Option<Meaning> {
    let is_json = || serde_json::from_slice::<Value>(body).ok();
    match status {
        200..=299 => None,
        401 | 302 | 303 | 307 => {
            let refusal = is_json().map(|value| refusal(status, &value));
            let unknown = Refusal { status, code: None, text: String::new() };
            Some(Meaning::SessionOver(refusal.unwrap_or(unknown)))
        }
        _ => Some(match is_json() {
            Some(value @ Value::Object(_)) => {
                let refusal = refusal(status, &value);
                if refusal.text.contains(UNAUTHORIZED) {
                    Meaning::SessionOver(refusal)
                } else {
                    Meaning::Refused(refusal)
                }
            }
            _ if status >= 500 || status == 404 || status == 405 || status == 403 => {
                Meaning::Refused(Refusal { status, code: None, text: words(body) })
            }
            _ => Meaning::Odd(format!("HTTP status {status} and {}", shape(body))),
        }),
    }
}

/// What one value of an answer that looks fine means: only its own top level tells errors, what it holds may have any key.
fn one(status: u16, value: &Value) -> Meaning {
    let is_error = value.get("errorCode").is_some_and(|code| match code {
        Value::String(code) => !code.is_empty(),
        Value::Number(code) => code.as_i64() != Some(0),
        _ => false,
    });
    if !is_error {
        return Meaning::Fine;
    }
    let refusal = refusal(status, value);
    let is_over = refusal.code.as_deref() == Some(NO_SESSION) || refusal.text.contains(UNAUTHORIZED);
    if is_over { Meaning::SessionOver(refusal) } else { Meaning::Refused(refusal) }
}

/// The code and the words of an error, in any family's form.
fn refusal(status: u16, error: &Value) -> Refusal {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let field = |names: &[&str]| names.iter().find_map(|name| error.get(name).and_then(text));
    let listed = error.get("errors").and_then(Value::as_array).map(|errors| {
        errors.iter().map(|one| text(one).unwrap_or_else(|| one.to_string())).collect::<Vec<_>>().join("; ")
    });
    let words = field(&["errorMessage", "message"]).or(listed);
    Refusal { status, code: field(&["errorCode", "code"]), text: words.unwrap_or_default() }
}

/// What is no JSON, or not whole.
fn broken(status: u16, body: &[u8], error: &serde_json::Error) -> Meaning {
    // Looked for in nothing else: answers are long.
    if is_logged_out(body) {
        return Meaning::SessionOver(Refusal { status, code: None, text: LOGGED_OUT.to_owned() });
    }
    let what = shape(body);
    let looks_like_json = body.trim_ascii_start().first().is_some_and(|first| b"{[\"".contains(first));
    Meaning::Odd(match (looks_like_json, error.is_eof()) {
        (true, true) => format!("JSON that ends in the middle, after {} bytes", body.len()),
        (true, false) => format!("broken JSON ({error})"),
        (false, _) => what,
    })
}

fn is_nothing(body: &[u8]) -> bool {
    matches!(body.trim_ascii(), b"" | b"null")
}

fn is_logged_out(body: &[u8]) -> bool {
    body.windows(LOGGED_OUT.len()).any(|window| window == LOGGED_OUT.as_bytes())
}

/// What a body that is no JSON is, in a few words.
fn shape(body: &[u8]) -> String {
    let words = words(body);
    let is_page = body.trim_ascii_start().first() == Some(&b'<');
    match (body.trim_ascii().is_empty(), is_page) {
        (true, _) => "nothing".to_owned(),
        (false, true) => format!("a web page (`{words}`)"),
        (false, false) => format!("`{words}`"),
    }
}

/// Characters of a foreign text that are told.
const TOLD: usize = 120;

/// The beginning of what a person would read in a body.
fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut plain = String::new();
    let mut is_tag = false;
    for c in text.chars() {
        match c {
            '<' => is_tag = true,
            '>' if is_tag => {
                is_tag = false;
                plain.push(' ');
            }
            c if !is_tag => plain.push(c),
            _ => {}
        }
    }
    let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = plain.chars().take(TOLD).collect();
    if cut.len() < plain.len() { format!("{cut}...") } else { plain }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(status: u16, code: Option<&str>, text: &str) -> Refusal {
        Refusal { status, code: code.map(str::to_owned), text: text.to_owned() }
    }

    #[rstest::rstest]
    #[case::nothing(200, "", json!(null))]
    #[case::null(200, " null\n", json!(null))]
    #[case::value(200, r#"{"data":"success"}"#, json!({"data": "success"}))]
    #[case::empty_code(200, r#"{"errorCode":"","a":1}"#, json!({"errorCode": "", "a": 1}))]
    #[case::zero_code(200, r#"{"errorCode":0}"#, json!({"errorCode": 0}))]
    #[case::code_inside_of_data(200, r#"{"data":[{"errorCode":"E1"}]}"#, json!({"data": [{"errorCode": "E1"}]}))]
    #[case::words_in_data(200, r#"{"config":"banner LOG OUT MESSAGE"}"#, json!({"config": "banner LOG OUT MESSAGE"}))]
    fn fine(#[case] status: u16, #[case] body: &str, #[case] expected: Value) {
        assert_eq!(meaning(status, body.as_bytes()), Meaning::Fine);
        assert_eq!(value::<Value>(body.as_bytes()).unwrap(), expected);
    }

    #[rstest::rstest]
    #[case(
        200,
        r#"{"errorCode":"132801","errorMessage":"Entity does not exist"}"#,
        Some("132801"),
        "Entity does not exist"
    )]
    #[case(
        200,
        r#"{"errorCode":"132718","errors":["no name","no config"]}"#,
        Some("132718"),
        "no name; no config"
    )]
    #[case(200, r#"{"errorCode":7}"#, Some("7"), "")]
    #[case(404, r#"{"code":5,"message":"resource not found"}"#, Some("5"), "resource not found")]
    #[case(500, "<html><title>Oops</title><body>a  bad\nday</body></html>", None, "Oops a bad day")]
    #[case(503, "", None, "")]
    #[case(403, r#"{"errorCode":"112403","errorMessage":"Forbidden"}"#, Some("112403"), "Forbidden")]
    fn refusals(#[case] status: u16, #[case] body: &str, #[case] code: Option<&str>, #[case] text: &str) {
        assert_eq!(meaning(status, body.as_bytes()), Meaning::Refused(refused(status, code, text)));
    }

    #[rstest::rstest]
    #[case(401, "")]
    #[case(401, r#"{"errorCode":"112498","errorMessage":"User is unauthorized"}"#)]
    #[case(200, r#"{"errorCode":"112498","errorMessage":"Unauthorized User"}"#)]
    #[case(500, r#"{"message":"User is unauthorized"}"#)]
    #[case(200, "<html>LOG OUT MESSAGE</html>")]
    #[case(302, "")]
    fn the_end_of_a_session(#[case] status: u16, #[case] body: &str) {
        assert!(matches!(meaning(status, body.as_bytes()), Meaning::SessionOver(_)));
    }

    #[rstest::rstest]
    #[case(200, "<html><body>Welcome to nginx!</body></html>", "a web page (`Welcome to nginx!`)")]
    #[case(200, r#"{"data": [1, 2"#, "JSON that ends in the middle, after 14 bytes")]
    #[case(200, r#"{"data" 1}"#, "broken JSON (expected `:` at line 1 column 9)")]
    #[case(400, "", "HTTP status 400 and nothing")]
    fn what_is_no_answer(#[case] status: u16, #[case] body: &str, #[case] words: &str) {
        assert_eq!(meaning(status, body.as_bytes()), Meaning::Odd(words.to_owned()));
    }

    #[rstest::rstest]
    #[case::none("", json!([]))]
    #[case::one(r#"{"result":{"value":1}}"#, json!([{"value": 1}]))]
    #[case::by_newlines("{\"result\":1}\n{\"result\":2}\n", json!([1, 2]))]
    #[case::by_anything("{\"result\":1}\r\n\n {\"result\":2}{\"result\":3}", json!([1, 2, 3]))]
    fn streams(#[case] body: &str, #[case] expected: Value) {
        assert_eq!(meaning_of_stream(200, body.as_bytes()), Meaning::Fine);
        assert_eq!(value_of_stream::<Value>(body.as_bytes()).unwrap(), expected);
    }

    #[rstest::rstest]
    #[case(r#"{"total":3,"more":[{}],"data":[1,2]}"#, Some(3), &[1, 2])]
    #[case(r#"{"data":null,"total":"0"}"#, None, &[])]
    #[case("", None, &[])]
    fn pages(#[case] body: &str, #[case] total: Option<u64>, #[case] rows: &[u8]) {
        let page = page::<u8>(body.as_bytes(), "data").unwrap();
        assert_eq!((page.total, page.rows.as_slice()), (total, rows));
    }

    #[rstest::rstest]
    #[case(r#"{"data":["x"]}"#)]
    #[case("[1]")]
    #[case(r#"{"data":[1]} x"#)]
    fn no_pages(#[case] body: &str) {
        assert!(page::<u8>(body.as_bytes(), "data").is_err());
    }

    #[test]
    fn a_stream_of_anything_else_is_none() {
        for body in ["[1]", "{\"result\":1}\n7", "{\"x\":1}"] {
            let expected = Meaning::Odd("a stream of other things than results".to_owned());
            assert_eq!(meaning_of_stream(200, body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn a_stream_may_end_in_an_error_or_in_the_middle() {
        let body = "{\"result\":1}\n{\"error\":{\"code\":14,\"message\":\"try later\"}}";
        assert_eq!(
            meaning_of_stream(200, body.as_bytes()),
            Meaning::Refused(refused(200, Some("14"), "try later"))
        );
        let body = "{\"result\":1}\n{\"resu";
        assert!(matches!(meaning_of_stream(200, body.as_bytes()), Meaning::Odd(_)));
    }
}
