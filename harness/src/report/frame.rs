//! What all pages have in common: one file that fetches nothing, its look, and short words. Pure.

use base64::Engine;
use sha2::{Digest, Sha256};

use super::tag::Tag;

const STYLE: &str = include_str!("frame.css");

/// A page with this body, whose look is `style` beside that of all pages. `script` is the only thing that it may do, whatever is
/// written in it.
pub(in crate::report) fn page(
    title: &str,
    style: &'static str,
    script: Option<&'static str>,
    body: impl IntoIterator<Item = Tag>,
) -> String {
    let mut policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:".to_owned();
    if let Some(script) = script {
        let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(script));
        policy += &format!("; script-src 'sha256-{hash}'");
    }
    let head = Tag::new("head").of([
        Tag::new("meta").with("charset", "utf-8"),
        Tag::new("meta").with("name", "viewport").with("content", "width=device-width, initial-scale=1"),
        Tag::new("meta").with("http-equiv", "Content-Security-Policy").with("content", policy),
        Tag::new("title").text(title),
        Tag::new("style").raw(format!("{STYLE}{style}")),
    ]);
    let script = script.map(|script| Tag::new("script").raw(script));
    let body = Tag::new("body").of(body).of(script);
    Tag::new("html").with("lang", "en").of([head, body]).document("<!DOCTYPE html>\n")
}

/// A word that says how something is, and looks like it.
pub(in crate::report) fn state(word: &str, class: &str) -> Tag {
    Tag::new("span").with("class", format!("state {class}")).text(word)
}

/// A time for people, of that many milliseconds.
pub(in crate::report) fn time(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        _ => format!("{} min {} s", millis / 60_000, millis / 1_000 % 60),
    }
}
