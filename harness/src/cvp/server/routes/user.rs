//! Users and roles.

use serde_json::{Map, Value, json};

use super::{
    super::model::{Refused, Role, User, absent_role, absent_user},
    Answer, Cx,
};
use crate::cvp::server::wire::classic::{self, UserWithRoles};

pub(super) fn row(name: &str, user: &User) -> classic::User {
    classic::User {
        user_id: name.to_owned(),
        first_name: user.first_name.clone(),
        last_name: user.last_name.clone(),
        email: user.email.clone(),
        contact_number: user.contact.clone(),
        user_status: if user.disabled { "Disabled" } else { "Enabled" }.to_owned(),
        user_type: if user.kind.is_empty() { "Local".to_owned() } else { user.kind.clone() },
        last_accessed: user.last_accessed,
        current_status: if user.last_accessed > 0 { "Online" } else { "Offline" }.to_owned(),
        ..classic::User::default()
    }
}

fn user_of(sent: UserWithRoles) -> (String, User) {
    let UserWithRoles { roles, user } = sent;
    let disabled = user.user_status.eq_ignore_ascii_case("disabled");
    let made = User {
        password: user.password,
        roles,
        first_name: user.first_name,
        last_name: user.last_name,
        email: user.email,
        contact: user.contact_number,
        disabled,
        kind: user.user_type,
        last_accessed: 0,
    };
    (user.user_id, made)
}

pub(super) fn add(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let (name, user) = user_of(cx.body()?);
    let shown = row(&name, &user);
    cx.model.add_user(&name, user)?;
    Ok(Answer::data(shown))
}

pub(super) fn update(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let (_, user) = user_of(cx.body()?);
    let name = cx.query("userId").to_owned();
    cx.model.update_user(&name, user)?;
    Ok(Answer::success())
}

pub(super) fn one(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let name = cx.query("userId");
    let user = cx.model.users.get(name).ok_or_else(|| absent_user(name))?;
    Ok(Answer::json(&json!({"user": row(name, user), "roles": user.roles})))
}

pub(super) fn list(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let wanted = cx.query("queryparam").to_lowercase();
    let found = cx.model.users.iter().filter(|(name, _)| name.to_lowercase().contains(&wanted));
    let (total, page) = cx.page(found);
    let roles: Map<String, Value> =
        page.iter().map(|(name, user)| ((*name).clone(), Value::from(user.roles.clone()))).collect();
    let users: Vec<_> = page.into_iter().map(|(name, user)| row(name, user)).collect();
    Ok(Answer::json(&json!({"total": total, "users": users, "roles": roles})))
}

pub(super) fn delete(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let names: Vec<String> = cx.body()?;
    cx.model.delete_users(&names)?;
    Ok(Answer::success())
}

pub(super) fn role_row(role: &Role) -> classic::Role {
    classic::Role {
        key: role.key.clone(),
        name: role.name.clone(),
        description: role.description.clone(),
        module_list_size: role.modules.len(),
        module_list: role.modules.clone(),
        created_by: role.created_by.clone(),
        created_on: role.created_at,
    }
}

fn role_of(sent: classic::Role) -> Role {
    let classic::Role { key, name, description, module_list, .. } = sent;
    Role { key, name, description, modules: module_list, ..Role::default() }
}

pub(super) fn roles(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let (total, page) = cx.page(cx.model.roles.values().map(role_row));
    let mut users: Map<String, Value> = Map::new();
    for (name, user) in &cx.model.users {
        for role in &user.roles {
            if let Value::Array(holders) = users.entry(role.clone()).or_insert_with(|| json!([])) {
                holders.push(Value::from(name.clone()));
            }
        }
    }
    Ok(Answer::json(&json!({"total": total, "roles": page, "users": users})))
}

pub(super) fn role(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let key = cx.query("roleId");
    Ok(Answer::json(&role_row(cx.model.roles.get(key).ok_or_else(|| absent_role(key))?)))
}

pub(super) fn add_role(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let role = role_of(cx.body()?);
    let user = cx.user();
    let key = cx.model.add_role(&user, role)?;
    Ok(Answer::data(cx.model.roles.get(&key).map(role_row)))
}

pub(super) fn update_role(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let role = role_of(cx.body()?);
    cx.model.update_role(&role)?;
    Ok(Answer::success())
}

pub(super) fn delete_roles(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let keys: Vec<String> = cx.body()?;
    cx.model.delete_roles(&keys)?;
    Ok(Answer::success())
}
