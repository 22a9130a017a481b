//! Accounts of programs and their tokens: over the resource API, and over the service API of the versions before it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::model::{About, Account, Model, Refused, Token, rfc3339},
    Answer, Cx, resource,
};

/// An account, as either API sends it.
#[derive(Deserialize)]
struct Sent {
    key: Name,
    #[serde(default)]
    description: String,
    #[serde(default)]
    groups: Groups,
    /// A word, or its number.
    #[serde(default)]
    status: Value,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

#[derive(Default, Deserialize)]
struct Groups {
    #[serde(default)]
    values: Vec<String>,
}

/// A token that is wanted, as either API sends it.
#[derive(Deserialize)]
struct Wanted {
    user: String,
    #[serde(default)]
    description: String,
    #[serde(alias = "validFor")]
    valid_for: String,
}

/// What the service API wraps either in.
#[derive(Deserialize)]
struct Wrapped<T> {
    value: T,
}

/// Seconds, as `3600s`.
fn milliseconds(text: &str) -> Result<u64, Refused> {
    let seconds = text.strip_suffix('s').and_then(|digits| digits.parse::<u64>().ok());
    let seconds = seconds.filter(|seconds| *seconds > 0 && *seconds <= 366 * 86_400);
    let invalid = || Refused::invalid(About::Resource, format!("validFor `{text}` is not like 3600s"));
    Ok(seconds.ok_or_else(invalid)? * 1000)
}

fn account_row(name: &str, account: &Account) -> Value {
    let status = if account.disabled { "ACCOUNT_STATUS_DISABLED" } else { "ACCOUNT_STATUS_ENABLED" };
    json!({
        "key": {"name": name}, "status": status, "description": account.description,
        "groups": {"values": account.roles}, "createdBy": account.created_by, "lastAccess": null,
    })
}

fn token_row(id: &str, token: &Token) -> Value {
    json!({
        "key": {"id": id}, "user": token.account, "description": token.description,
        // Whole seconds: clients read nothing finer here.
        "validUntil": rfc3339(token.valid_until).split('.').next().map(|seconds| format!("{seconds}Z")),
        "createdBy": token.created_by, "lastUsed": null,
    })
}

fn set_account(cx: &mut Cx<'_>, sent: Sent) -> Result<Value, Refused> {
    let disabled = sent.status == "ACCOUNT_STATUS_DISABLED" || sent.status == 2;
    let account = Account {
        description: sent.description,
        roles: sent.groups.values,
        disabled,
        created_by: cx.user(),
        modified: 0,
    };
    cx.model.set_account(&sent.key.name, account)?;
    one_account(cx.model, &sent.key.name)
}

fn one_account(model: &Model, name: &str) -> Result<Value, Refused> {
    let account = model.accounts.get(name).ok_or_else(resource::absent)?;
    Ok(json!({"value": account_row(name, account), "time": rfc3339(account.modified)}))
}

fn one_token(model: &Model, id: &str) -> Result<Value, Refused> {
    let token = model.tokens.get(id).ok_or_else(resource::absent)?;
    Ok(json!({"value": token_row(id, token), "time": rfc3339(model.clock.now())}))
}

fn make_token(cx: &mut Cx<'_>, wanted: &Wanted) -> Result<(String, String), Refused> {
    let user = cx.user();
    let valid_for = milliseconds(&wanted.valid_for)?;
    cx.model.add_token(&user, &wanted.user, &wanted.description, valid_for)
}

fn deleted(cx: &Cx<'_>, name: &str, id: &str) -> Value {
    json!({"key": {name: id}, "time": rfc3339(cx.model.clock.now())})
}

pub(super) fn one(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    Ok(Answer::json(&one_account(cx.model, cx.query("key.name"))?))
}

pub(super) fn all(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let accounts = cx.model.accounts.iter();
    Ok(resource::stream(cx, accounts.map(|(name, a)| (account_row(name, a), rfc3339(a.modified)))))
}

pub(super) fn set(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let sent: Sent = cx.body()?;
    Ok(Answer::json(&set_account(cx, sent)?))
}

pub(super) fn delete(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let name = cx.query("key.name").to_owned();
    cx.model.delete_account(&name)?;
    Ok(Answer::json(&deleted(cx, "name", &name)))
}

/// What an account was set to, without what became of it.
fn config_row(name: &str, account: &Account) -> Value {
    let mut row = account_row(name, account);
    if let Some(row) = row.as_object_mut() {
        row.retain(|field, _| matches!(field.as_str(), "key" | "status" | "description" | "groups"));
    }
    row
}

pub(super) fn config(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let name = cx.query("key.name");
    let account = cx.model.accounts.get(name).ok_or_else(resource::absent)?;
    Ok(resource::one(config_row(name, account), account.modified))
}

pub(super) fn configs(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let accounts = cx.model.accounts.iter();
    Ok(resource::stream(cx, accounts.map(|(name, a)| (config_row(name, a), rfc3339(a.modified)))))
}

pub(super) fn token(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    Ok(Answer::json(&one_token(cx.model, cx.query("key.id"))?))
}

pub(super) fn tokens(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let now = rfc3339(cx.model.clock.now());
    Ok(resource::stream(cx, cx.model.tokens.iter().map(|(id, token)| (token_row(id, token), now.clone()))))
}

pub(super) fn add_token(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let wanted: Wanted = cx.body()?;
    let (id, secret) = make_token(cx, &wanted)?;
    let value = json!({
        "key": {"id": id}, "user": wanted.user, "description": wanted.description,
        "validFor": wanted.valid_for, "token": secret,
    });
    Ok(resource::one(value, cx.model.clock.now()))
}

pub(super) fn delete_token(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let id = cx.query("key.id").to_owned();
    cx.model.delete_token(&id)?;
    Ok(Answer::json(&deleted(cx, "id", &id)))
}

// The service API: lists, and names with underscores.

/// The same with the names of fields that the service API has.
fn snaked(mut row: Value) -> Value {
    let fields = row.get_mut("value").and_then(Value::as_object_mut);
    if let Some(fields) = fields {
        for (camel, snake) in [
            ("validUntil", "valid_until"),
            ("createdBy", "created_by"),
            ("lastUsed", "last_used"),
            ("lastAccess", "last_access"),
            ("validFor", "valid_for"),
        ] {
            if let Some(field) = fields.remove(camel) {
                fields.insert(snake.to_owned(), field);
            }
        }
    }
    row
}

fn listed(rows: Vec<Value>) -> Answer {
    Answer::json(&rows.into_iter().map(snaked).collect::<Vec<_>>())
}

fn old_key(cx: &Cx<'_>, name: &str) -> String {
    cx.body.pointer(&format!("/key/{name}")).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(super) fn old_all(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let names = cx.model.accounts.keys();
    Ok(listed(names.map(|name| one_account(cx.model, name)).collect::<Result<_, _>>()?))
}

pub(super) fn old_one(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    Ok(listed(vec![one_account(cx.model, &old_key(cx, "name"))?]))
}

pub(super) fn old_set(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let Wrapped { value } = cx.body()?;
    Ok(listed(vec![set_account(cx, value)?]))
}

pub(super) fn old_delete(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let name = old_key(cx, "name");
    cx.model.delete_account(&name)?;
    Ok(listed(vec![deleted(cx, "name", &name)]))
}

pub(super) fn old_tokens(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let ids = cx.model.tokens.keys();
    Ok(listed(ids.map(|id| one_token(cx.model, id)).collect::<Result<_, _>>()?))
}

pub(super) fn old_token(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    Ok(listed(vec![one_token(cx.model, &old_key(cx, "id"))?]))
}

pub(super) fn old_add_token(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let Wrapped { value } = cx.body::<Wrapped<Wanted>>()?;
    let (id, secret) = make_token(cx, &value)?;
    Ok(listed(vec![json!({
        "value": {
            "key": {"id": id}, "user": value.user, "description": value.description,
            "validFor": value.valid_for, "token": secret,
        },
        "time": rfc3339(cx.model.clock.now()),
    })]))
}

pub(super) fn old_delete_token(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let id = old_key(cx, "id");
    cx.model.delete_token(&id)?;
    Ok(listed(vec![deleted(cx, "id", &id)]))
}
