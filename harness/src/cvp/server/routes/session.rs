//! Coming in and going out, and what the portal says of itself.

use serde::Deserialize;
use serde_json::json;

use super::{
    super::model::{About, Model, Refused, Why},
    Answer, Cx, Request,
};
use crate::cvp::server::wire::classic::Login;

pub(super) const LOGIN: &str = "/login/authenticate.do";
pub(super) const LOGOUT: &str = "/login/logout.do";

/// Nobody is known by what was sent.
pub(super) fn unauthorized() -> Refused {
    Refused::new(About::Login, Why::Unauthorized, "User is unauthorized")
}

/// Lets somebody in by name and password, whatever else is sent along.
pub(super) fn login(model: &mut Model, request: &Request) -> Answer {
    let login = match &request.basic {
        Some((user, password)) => Login { user_id: user.clone(), password: password.clone() },
        None => match request.json().and_then(|body| Login::deserialize(&body)) {
            Ok(login) => login,
            Err(error) => return Answer::bad_request(&Refused::invalid(About::Login, error), false),
        },
    };
    let id = match model.login(&login.user_id, &login.password) {
        Ok(id) => id,
        Err(refused) => return Answer::refused(&refused, false),
    };
    let user = model.users.get(&login.user_id);
    let keys = user.map(|user| user.roles.clone()).unwrap_or_default();
    let roles: Vec<_> =
        keys.iter().filter_map(|key| model.roles.get(key)).map(super::user::role_row).collect();
    let permissions: Vec<_> = roles.iter().flat_map(|role| role.module_list.clone()).collect();
    let user = user.map(|user| super::user::row(&login.user_id, user));
    let body = json!({
        "sessionId": id,
        "username": login.user_id,
        "user": user,
        "roles": roles,
        "permissionList": permissions,
        "authenticationType": "Local",
        "authorizationType": "Local",
        "cookie": {"Name": "access_token", "Value": id, "Path": "/"},
    });
    let flags = if request.is_secret { "Path=/; HttpOnly; Secure" } else { "Path=/; HttpOnly" };
    Answer::json(&body)
        .with("set-cookie", format!("session_id={id}; {flags}"))
        .with("set-cookie", format!("access_token={id}; {flags}"))
}

/// Logging in comes before anybody is known.
pub(super) fn never(_: &mut Cx<'_>) -> Result<Answer, Refused> {
    Err(unauthorized())
}

pub(super) fn logout(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    cx.model.logout(&cx.who);
    Ok(Answer::success())
}

pub(super) fn home(_: &mut Cx<'_>) -> Result<Answer, Refused> {
    Ok(Answer::success())
}

pub(super) fn rest(_: &mut Cx<'_>) -> Result<Answer, Refused> {
    Ok(Answer::json(&json!({})))
}

pub(super) fn version(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let version = cx.model.settings.imitate.to_string();
    Ok(Answer::json(&json!({"version": version, "appVersion": version})))
}

/// Nobody else is asked who comes in.
pub(super) fn no_server(_: &mut Cx<'_>) -> Result<Answer, Refused> {
    Err(Refused::absent(About::User))
}

/// Nor is anything kept of how that would be done.
pub(super) fn no_details(_: &mut Cx<'_>) -> Result<Answer, Refused> {
    Ok(Answer::bad_request(&Refused::invalid(About::User, "nobody else is asked who comes in"), false))
}

/// There are no events, so no id is one of them.
pub(super) fn no_event(_: &mut Cx<'_>) -> Result<Answer, Refused> {
    Err(Refused::new(About::Login, Why::Absent, "Invalid Event Id"))
}
