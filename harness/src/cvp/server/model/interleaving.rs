//! What holds of the model whatever eight clients do, in whichever order.

use proptest::prelude::*;
use serde_json::Map;

use super::{
    tests::{approve, assign, change, container, model, one, relocate, save, who},
    *,
};
use crate::cvp::server::wire::classic::Action;

/// What one of the clients does.
#[derive(Debug, Clone)]
enum Op {
    Add(u8, u8),
    Update(u8, u8),
    Rename(u8, u8),
    Delete(u8),
    /// To a device or a container, these configlets.
    Assign(u8, Vec<u8>),
    Later(u8, Vec<u8>),
    Save,
    Move(u8, u8),
    Reset(u8),
    AddContainer(u8, u8),
    DeleteContainer(u8),
    Execute(u8),
    Cancel(u8),
    Change(u8, u8),
    Stop(u8),
    RemoveDevice(u8),
    /// What a device runs anyway is kept in a configlet of its own.
    Reconcile(u8, u8),
    Logout,
    /// One of the jobs that wait ends, well or badly.
    Work(u8, bool),
    Time(u16),
}

fn op() -> impl Strategy<Value = Op> {
    let few = || proptest::collection::vec(0..6_u8, 0..4);
    prop_oneof![
        3 => (0..6_u8, 0..9_u8).prop_map(|(a, b)| Op::Add(a, b)),
        2 => (0..6_u8, 0..9_u8).prop_map(|(a, b)| Op::Update(a, b)),
        1 => (0..6_u8, 0..6_u8).prop_map(|(a, b)| Op::Rename(a, b)),
        1 => (0..6_u8).prop_map(Op::Delete),
        5 => (0..6_u8, few()).prop_map(|(a, b)| Op::Assign(a, b)),
        2 => (0..6_u8, few()).prop_map(|(a, b)| Op::Later(a, b)),
        2 => Just(Op::Save),
        2 => (0..3_u8, 0..5_u8).prop_map(|(a, b)| Op::Move(a, b)),
        1 => (0..3_u8).prop_map(Op::Reset),
        1 => (0..4_u8, 0..5_u8).prop_map(|(a, b)| Op::AddContainer(a, b)),
        1 => (0..5_u8).prop_map(Op::DeleteContainer),
        5 => (0..9_u8).prop_map(Op::Execute),
        1 => (0..9_u8).prop_map(Op::Cancel),
        2 => (0..9_u8, 0..9_u8).prop_map(|(a, b)| Op::Change(a, b)),
        1 => (0..3_u8).prop_map(Op::Stop),
        1 => (0..3_u8).prop_map(Op::RemoveDevice),
        1 => (0..3_u8, 0..9_u8).prop_map(|(a, b)| Op::Reconcile(a, b)),
        1 => Just(Op::Logout),
        8 => (0..9_u8, proptest::bool::weighted(0.85)).prop_map(|(a, b)| Op::Work(a, b)),
        1 => (0..20_000_u16).prop_map(Op::Time),
    ]
}

/// The `index`-th of something, around and around.
fn nth<T: Clone>(all: impl IntoIterator<Item = T>, index: u8) -> Option<T> {
    let all: Vec<T> = all.into_iter().collect();
    if all.is_empty() { None } else { all.get(usize::from(index) % all.len()).cloned() }
}

fn target(model: &Model, index: u8, keys: &[u8]) -> Option<Action> {
    let keys: Vec<String> =
        keys.iter().filter_map(|key| nth(model.configlets.keys().cloned(), *key)).collect();
    if index < 3 {
        Some(assign(&nth(model.devices.keys().cloned(), index)?, "netelement", &keys))
    } else {
        Some(assign(&nth(model.containers.keys().cloned(), index)?, "container", &keys))
    }
}

/// What a device must run by a reading of the state that shares nothing with the model's own.
fn expected(model: &Model, mac: &str) -> Vec<String> {
    let device = &model.devices[mac];
    let mut keys: Vec<&String> = vec![];
    let mut at = device.placement.container.as_deref();
    let mut around = vec![];
    while let Some(key) = at.filter(|key| !key.is_empty()) {
        around.insert(0, key);
        at = model.containers.get(key).map(|container| container.parent.as_str());
    }
    if device.placement.container.as_deref() != Some(UNDEFINED) {
        keys.extend(around.iter().flat_map(|key| &model.containers[*key].configlets));
        keys.extend(&device.placement.own);
    }
    // What was reconciled comes last, wherever it is held.
    keys.sort_by_key(|key| model.configlets[*key].reconciled);
    let kept = (model.settings.unmanaged == Unmanaged::Keep).then_some(device.unmanaged.as_str());
    let texts = kept.into_iter().chain(keys.into_iter().map(|key| model.configlets[key].config.as_str()));
    let mut lines: Vec<String> = vec![];
    for line in texts.flat_map(str::lines) {
        if !lines.iter().any(|known| known == line) {
            lines.push(line.to_owned());
        }
    }
    lines
}

fn act(model: &mut Model, clients: &mut [Who], client: usize, jobs: &mut Vec<Job>, op: Op) {
    let client_who = clients[client].clone();
    // What is refused is refused: nothing may have changed then, which the check sees.
    match op {
        Op::Add(name, text) => {
            let (name, config) = (format!("c{name}"), format!("vlan {text}\nip routing\n"));
            let _ = model.add_configlet("cvpadmin", Configlet { name, config, ..Configlet::default() });
        }
        Op::Update(index, text) => {
            if let Some((key, known)) = nth(model.configlets.clone(), index) {
                let text = format!("vlan {text}\nlldp timer {text}\n");
                model.update_configlet(&client_who, &key, &known.name, &text, None).unwrap();
            }
        }
        Op::Rename(index, name) => {
            if let Some((key, known)) = nth(model.configlets.clone(), index) {
                let _ = model.update_configlet(&client_who, &key, &format!("c{name}"), &known.config, None);
            }
        }
        Op::Delete(index) => {
            if let Some((key, known)) = nth(model.configlets.clone(), index) {
                let _ = model.delete_configlets(&[(key, known.name)]);
            }
        }
        Op::Assign(to, keys) => {
            if let Some(action) = target(model, to, &keys) {
                let _ = save(model, &client_who, vec![action]);
            }
        }
        Op::Later(to, keys) => {
            if let Some(action) = target(model, to, &keys) {
                let _ = model.add_actions(&client_who, vec![(action, Map::new())]);
            }
        }
        Op::Save => drop(model.save(&client_who, None)),
        Op::Move(device, to) => {
            let (mac, to) =
                (nth(model.devices.keys().cloned(), device), nth(model.containers.keys().cloned(), to));
            if let (Some(mac), Some(to)) = (mac, to) {
                let _ = save(model, &client_who, vec![relocate("update", &mac, &to)]);
            }
        }
        Op::Reset(device) => {
            if let Some(mac) = nth(model.devices.keys().cloned(), device) {
                let _ = save(model, &client_who, vec![relocate("reset", &mac, UNDEFINED)]);
            }
        }
        Op::AddContainer(name, parent) => {
            let parent = nth(model.containers.keys().cloned(), parent).unwrap();
            let action = container("add", "new_container", &format!("box{name}"), &parent);
            let _ = save(model, &client_who, vec![action]);
        }
        Op::DeleteContainer(index) => {
            let key = nth(model.containers.keys().cloned(), index).unwrap();
            let _ = save(model, &client_who, vec![container("delete", &key, "", "")]);
        }
        Op::Execute(index) => {
            if let Some(id) = nth(model.tasks.keys().copied(), index) {
                let _ = model.execute_tasks("cvpadmin", &[id.to_string()]);
            }
        }
        Op::Cancel(index) => {
            if let Some(id) = nth(model.tasks.keys().copied(), index) {
                let _ = model.cancel_tasks("cvpadmin", &[id.to_string()]);
            }
        }
        Op::Change(a, b) => {
            let tasks: Vec<u64> = model.tasks.keys().copied().collect();
            if let (Some(a), Some(b)) = (nth(tasks.clone(), a), nth(tasks, b))
                && a != b
            {
                let id = model.clock.uuid();
                change(model, &id, &[&[a], &[b]]);
                approve(model, &id);
                model.start("cvpadmin", &id, "").unwrap();
            }
        }
        Op::Stop(index) => {
            if let Some(id) = nth(model.changes.keys().cloned(), index) {
                let _ = model.stop("cvpadmin", &id, "");
            }
        }
        Op::RemoveDevice(index) => {
            if let Some(mac) = nth(model.devices.keys().cloned(), index).filter(|_| model.devices.len() > 1) {
                let _ = model.remove_devices(&[mac]);
            }
        }
        Op::Reconcile(device, text) => {
            let Some(mac) = nth(model.devices.keys().cloned(), device) else { return };
            let (name, config) = (format!("kept {mac}"), format!("ip routing\nntp server {text}\n"));
            let new = Configlet { name, config, reconciled: true, ..Configlet::default() };
            if let Ok(key) = model.add_configlet("cvpadmin", new) {
                // Before the others: where it comes in the end is not for clients to say.
                let held = model.devices[&mac].placement.own.iter().cloned();
                let keys: Vec<String> = std::iter::once(key).chain(held).collect();
                let _ = save(model, &client_who, vec![assign(&mac, "netelement", &keys)]);
            }
        }
        Op::Logout => {
            model.logout(&client_who);
            clients[client] = who(model);
        }
        Op::Work(index, well) => {
            if !jobs.is_empty() {
                let job = jobs.remove(usize::from(index) % jobs.len());
                finish(model, job, well);
            }
        }
        Op::Time(by) => {
            let now = model.clock.now();
            model.clock.set(now + u64::from(by));
            model.tick();
        }
    }
    jobs.extend(model.take_jobs());
}

fn finish(model: &mut Model, job: Job, well: bool) {
    let Job::Push { task } = job else { return one(model, job) };
    let result = model.push_of(task).map(|push| push.config);
    let mac = model.tasks[&task].device.clone();
    let is_undefined = model.devices[&mac].is_undefined();
    let reset = matches!(model.tasks[&task].kind, TaskKind::Reset(_));
    let result = if well { result } else { Err("broken".to_owned()) };
    let before = model.devices[&mac].running.clone();
    let done = result.is_ok();
    model.finish_task(task, result);
    let runs: Vec<&str> = model.devices[&mac].running.lines().collect();
    if !done || (is_undefined && !reset) {
        assert_eq!(model.devices[&mac].running, before, "what was not written changed nothing");
    } else {
        assert_eq!(runs, expected(model, &mac), "task {task} on {mac}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_eight_clients_do(
        ops in proptest::collection::vec((0..8_usize, op()), 1..80),
        keep in any::<bool>(),
    ) {
        let (mut model, first) = model();
        model.settings.unmanaged = if keep { Unmanaged::Keep } else { Unmanaged::Replace };
        let mut clients = vec![first];
        while clients.len() < 8 {
            let client = who(&mut model);
            clients.push(client);
        }
        let mut jobs = vec![];
        for (client, op) in ops {
            act(&mut model, &mut clients, client, &mut jobs, op.clone());
            let wrong = model.check();
            prop_assert!(wrong.is_empty(), "after {:?}: {:?}", op, wrong);
            let uses = model.uses();
            for key in model.configlets.keys() {
                let counted = uses.get(key.as_str()).copied().unwrap_or_default();
                prop_assert_eq!(model.uses_of(key), counted, "{} after {:?}", key, op);
            }
            for device in model.devices.values() {
                let unjudged = Device { judged: std::cell::Cell::default(), ..device.clone() };
                let anew = model.compliance(&unjudged);
                prop_assert_eq!(model.compliance(device), anew, "{} after {:?}", device.mac, op);
            }
        }
        // What is saved is what is loaded.
        let saved = serde_json::to_value(&model).unwrap();
        let loaded: Model = serde_json::from_value(saved.clone()).unwrap();
        prop_assert_eq!(serde_json::to_value(&loaded).unwrap(), saved);
    }
}
