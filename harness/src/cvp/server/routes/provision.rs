//! Changes of the topology: collected, then saved.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::model::{About, Refused, Sent, TempAction},
    Answer, Cx, topology,
};
use crate::cvp::server::wire::classic::{Action, Data, OwnActions};

fn parsed(raw: Vec<Value>) -> Result<Vec<Sent>, Refused> {
    let one = |raw: Value| {
        let action = Action::deserialize(&raw).map_err(|error| Refused::invalid(About::Node, error))?;
        let Value::Object(raw) = raw else {
            return Err(Refused::invalid(About::Node, "an action is an object"));
        };
        Ok((action, raw))
    };
    raw.into_iter().map(one).collect()
}

pub(super) fn add(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let Data { data }: Data<Vec<Value>> = cx.body()?;
    cx.model.add_actions(&cx.who, parsed(data)?)?;
    topology::filter(cx)
}

pub(super) fn save(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let own: Option<Vec<OwnActions>> = cx.body()?;
    let mut given: Option<Vec<Action>> = None;
    for text in own.unwrap_or_default().into_iter().filter_map(|own| own.task_json) {
        let raw: Vec<Value> = serde_json::from_str(&text)
            .map_err(|error| Refused::invalid(About::Node, format!("taskJson: {error}")))?;
        given.get_or_insert_default().extend(parsed(raw)?.into_iter().map(|(action, _)| action));
    }
    let tasks = cx.model.save(&cx.who, given)?;
    let ids: Vec<String> = tasks.iter().map(u64::to_string).collect();
    Ok(Answer::data(json!({"status": "success", "taskIds": ids})))
}

pub(super) fn list(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    let mut rows = vec![];
    for temp in cx.model.actions_of(&cx.who) {
        rows.push(row(cx, temp, None));
        let container = temp.action.to_id_type == "container" && temp.action.action == "associate";
        if container && cx.model.settings.imitate.level() >= 5 {
            let below = cx.model.provisioned_below(&temp.action.to_id);
            rows.extend(below.iter().map(|mac| row(cx, temp, Some(mac))));
        }
    }
    let (total, data) = cx.page(rows);
    Ok(Answer::json(&json!({"total": total, "data": data})))
}

/// An action as it was sent, and what is known besides; `through` is the device it comes to by its container.
fn row(cx: &Cx<'_>, temp: &TempAction, through: Option<&String>) -> Value {
    let mut row = temp.raw.clone();
    let known = json!({
        "key": temp.key, "id": 1, "factoryId": 1, "sessionId": cx.who.session, "user": cx.who.user,
        "userId": cx.who.user, "timestamp": temp.at, "ccId": "", "taskId": 0, "containerKey": "", "mode": "",
        "pageType": "", "viaContainer": through.is_some(), "bestImageContainerId": "", "imageBundleId": "",
        "nodeList": [],
    });
    for (key, value) in known.as_object().into_iter().flatten() {
        row.entry(key.clone()).or_insert_with(|| value.clone());
    }
    if let Some(mac) = through {
        row.insert("toId".to_owned(), Value::from(mac.clone()));
        row.insert("toIdType".to_owned(), Value::from("netelement"));
        let name = cx.model.device(mac).map(super::super::model::Device::fqdn).unwrap_or_default();
        // Whoever looks for an action by its words finds the one that was sent.
        row.insert("info".to_owned(), Value::from(format!("{} (to device {name})", temp.action.info)));
        row.insert("toName".to_owned(), Value::from(name));
    }
    Value::Object(row)
}

pub(super) fn drop_all(cx: &mut Cx<'_>) -> Result<Answer, Refused> {
    cx.model.drop_actions(&cx.who);
    Ok(Answer::success())
}
