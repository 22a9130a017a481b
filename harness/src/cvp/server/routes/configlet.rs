//! Configlets: made, changed, read, removed.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{
    super::model::{About, Configlet, Model, Refused, Uses, Why, rfc3339},
    Answer, Cx,
};
use crate::cvp::server::wire::classic::{self, ConfigletEdit, ConfigletUpdate, Named, NewConfiglet, Page};

/// A configlet in every answer but those lists of old versions that leave the text out.
pub(super) fn row<'a>(key: &'a str, configlet: &'a Configlet, uses: Uses) -> classic::Configlet<'a> {
    classic::Configlet {
        key,
        name: &configlet.name,
        config: Some(&configlet.config),
        kind: configlet.kind(),
        user: &configlet.user,
        note: &configlet.note,
        reconciled: configlet.reconciled,
        container_count: uses.containers,
        net_element_count: uses.devices,
        date_time_in_long_format: configlet.changed_at,
        is_default: "no",
        is_auto_builder: "",
        editable: true,
        ssl_config: false,
        visible: true,
        is_draft: false,
        type_studio_configlet: false,
        factory_id: 1,
        id: 33,
    }
}

/// A configlet in a list.
pub(super) fn list_row<'a>(
    model: &Model,
    key: &'a str,
    configlet: &'a Configlet,
    uses: &HashMap<&str, Uses>,
) -> classic::Configlet<'a> {
    let mut row = row(key, configlet, uses.get(key).copied().unwrap_or_default());
    // Two levels save themselves the texts in lists.
    if matches!(model.settings.imitate.level(), 2 | 3) {
        row.config = None;
    }
    row
}

pub(super) fn add(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let NewConfiglet { name, config } = cx.body()?;
    let key = cx.model.add_configlet(&cx.who.user, Configlet { name, config, ..Configlet::default() })?;
    Ok(Answer::data(row(&key, cx.model.configlet(&key)?, cx.model.uses_of(&key))))
}

pub(super) fn by_name(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let (key, configlet) = cx.model.configlet_named(cx.query("name"))?;
    Ok(Answer::json(&row(key, configlet, cx.model.uses_of(key))))
}

pub(super) fn by_id(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let key = cx.query("id");
    Ok(Answer::json(&row(key, cx.model.configlet(key)?, cx.model.uses_of(key))))
}

pub(super) fn update(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let update: ConfigletUpdate = cx.body()?;
    let ConfigletUpdate { config, key, name, wait_for_task_ids, reconciled } = update;
    let tasks = cx.model.update_configlet(&cx.who, &key, &name, &config, reconciled)?;
    let data = format!("Configlet {name} successfully updated and task initiated.");
    let mut body = json!({ "data": data });
    if wait_for_task_ids && let Some(body) = body.as_object_mut() {
        let ids: Vec<String> = tasks.iter().map(u64::to_string).collect();
        body.insert("taskIds".to_owned(), Value::from(ids));
    }
    Ok(Answer::json(&body))
}

pub(super) fn delete(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let which: Vec<Named> = cx.body()?;
    let which: Vec<_> = which.into_iter().map(|named| (named.key, named.name)).collect();
    cx.model.delete_configlets(&which)?;
    Ok(Answer::success())
}

pub(super) fn list(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    Ok(matching(cx, ""))
}

pub(super) fn search(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let wanted = cx.query("queryparam").to_lowercase();
    Ok(matching(cx, &wanted))
}

fn matching(cx: &Cx<'_>, wanted: &str) -> Answer {
    let kind = cx.query("type").to_lowercase();
    let all = cx.model.configlets.iter().filter(|(_, configlet)| {
        let named = wanted.is_empty() || configlet.name.to_lowercase().contains(wanted);
        named && (kind.is_empty() || configlet.kind().to_lowercase() == kind)
    });
    let (total, page) = cx.page(all);
    let keys: Vec<&str> = page.iter().map(|(key, _)| key.as_str()).collect();
    let uses = cx.model.uses_of_some(&keys);
    let data = page.into_iter().map(|(key, c)| list_row(cx.model, key, c, &uses)).collect();
    Answer::json(&Page { total, data })
}

pub(super) fn history(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let key = cx.query("configletId");
    let date = |at: u64| if at == 0 { String::new() } else { rfc3339(at) };
    let edits = cx.model.configlet(key)?.history.iter().rev().map(|edit| ConfigletEdit {
        configlet_id: key.to_owned(),
        old_user_id: edit.old_user.clone(),
        new_user_id: edit.new_user.clone(),
        old_config: edit.old_config.clone(),
        new_config: edit.new_config.clone(),
        old_date: date(edit.old_at),
        new_date: date(edit.new_at),
        old_date_time_in_long_format: edit.old_at,
        updated_date_time_in_long_format: edit.new_at,
        key: edit.key.clone(),
        factory_id: 1,
        id: 33,
    });
    let (total, page) = cx.page(edits);
    Ok(Answer::json(&json!({"total": total, "configletHistory": page})))
}

/// A text beside something.
#[derive(serde::Deserialize)]
struct Note {
    key: String,
    note: String,
}

pub(super) fn note(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let Note { key, note } = cx.body()?;
    cx.model.configlet(&key)?;
    if let Some(configlet) = cx.model.configlets.get_mut(&key) {
        configlet.note = note;
    }
    Ok(Answer::success())
}

/// Makes the one configlet of a device that holds what it runs anyway; its text gets one line end more.
pub(super) fn reconcile(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let mac = cx.model.device(cx.query("netElementId"))?.mac.clone();
    let update: ConfigletUpdate = cx.body()?;
    let config = format!("{}\n", update.config);
    let key = if update.key.is_empty() {
        let held = cx.model.held(cx.model.device(&mac)?);
        let one = held.iter().find(|held| cx.model.configlet(held.key).is_ok_and(|c| c.reconciled));
        if let Some(one) = one {
            let text = format!("device {mac} has a reconcile configlet, {}", one.key);
            return Err(Refused::new(About::Configlet, Why::Exists, text));
        }
        let reconciled = true;
        let new = Configlet { name: update.name.clone(), config, reconciled, ..Configlet::default() };
        cx.model.add_configlet(&cx.who.user, new)?
    } else {
        cx.model.update_configlet(&cx.who, &update.key, &update.name, &config, Some(true))?;
        update.key
    };
    Ok(Answer::data(row(&key, cx.model.configlet(&key)?, cx.model.uses_of(&key))))
}

/// A maker of configlets: kept as it was sent.
#[derive(serde::Deserialize)]
struct Builder {
    name: String,
    data: Value,
}

pub(super) fn add_builder(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let Builder { name, data } = cx.body()?;
    let builder = Configlet { name, builder: Some(data), ..Configlet::default() };
    let key = cx.model.add_configlet(&cx.who.user, builder)?;
    Ok(Answer::data(row(&key, cx.model.configlet(&key)?, cx.model.uses_of(&key))))
}

pub(super) fn update_builder(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let key = cx.query("id").to_owned();
    let Builder { name, data } = cx.body()?;
    if cx.model.configlet(&key)?.builder.is_none() {
        return Err(Refused::invalid(About::Configlet, "this is no builder"));
    }
    cx.model.update_configlet(&cx.who, &key, &name, "", None)?;
    if let Some(builder) = cx.model.configlets.get_mut(&key) {
        builder.builder = Some(data);
    }
    Ok(Answer::success())
}

pub(super) fn builder(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let key = cx.query("id");
    let data = cx.model.configlet(key)?.builder.clone().ok_or_else(|| Refused::absent(About::Configlet))?;
    let part = |names: [&str; 2]| names.iter().find_map(|name| data.get(*name)).cloned();
    let assigned = cx.model.uses_of(key) != Uses::default();
    Ok(Answer::data(json!({
        "isAssigned": assigned,
        "name": cx.model.configlet(key)?.name,
        "formList": part(["formList", "form_list"]),
        "main_script": part(["main_script", "mainScript"]),
    })))
}
