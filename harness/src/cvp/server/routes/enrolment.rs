//! Tokens with which devices enrol: as a resource, and as the call before it.

use serde::Deserialize;
use serde_json::json;

use super::{
    super::model::{About, Ms, Refused},
    Answer, Cx,
};

/// What a token is to be for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    #[serde(default, alias = "reenroll_devices")]
    reenroll_devices: Vec<String>,
    #[serde(alias = "valid_for", alias = "duration")]
    valid_for: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    #[serde(alias = "enrollment_token")]
    enrollment_token: Wanted,
}

/// A time in one of `units`, such as `24h`.
fn milliseconds(text: &str, units: &[(char, Ms)]) -> Result<Ms, Refused> {
    let time = units.iter().find_map(|(unit, long)| {
        let number: Ms = text.strip_suffix(*unit)?.parse().ok()?;
        number.checked_mul(*long)
    });
    time.ok_or_else(|| Refused::invalid(About::Resource, format!("`{text}` is not like 86400s")))
}

pub(super) fn add(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let Sent { enrollment_token: wanted } = cx.body()?;
    let valid_for = milliseconds(&wanted.valid_for, &[('s', 1000)])?;
    let token = cx.model.add_enrolment(&cx.who.user, wanted.reenroll_devices.clone(), valid_for)?;
    Ok(Answer::json(&json!({"enrollmentToken": {
        "token": token, "groups": [], "reenrollDevices": wanted.reenroll_devices, "validFor": wanted.valid_for,
    }})))
}

pub(super) fn old_add(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let wanted: Wanted = cx.body()?;
    let units = [('s', 1000), ('m', 60_000), ('h', 3_600_000)];
    let valid_for = milliseconds(&wanted.valid_for, &units)?;
    Ok(Answer::data(cx.model.add_enrolment(&cx.who.user, wanted.reenroll_devices, valid_for)?))
}
