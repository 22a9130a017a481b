//! The model, without HTTP: what each change does, and what holds whatever eight clients do in whichever order.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::cvp::wire::classic::Action;

const MAC: &str = "00:1c:73:00:00:01";
const NOW: Ms = 1_000_000;

fn who(model: &mut Model) -> Who {
    let session = model.login("cvpadmin", "secret").unwrap();
    Who { user: "cvpadmin".to_owned(), session }
}

/// A portal with three devices in a container `Demo` whose key is `demo`.
fn model() -> (Model, Who) {
    let mut model = Model::new(Settings::default(), [7; 32], NOW);
    let admin = User { password: "secret".to_owned(), roles: vec![ADMIN.to_owned()], ..User::default() };
    model.add_user("cvpadmin", admin).unwrap();
    let demo = Container { name: "Demo".to_owned(), parent: ROOT.to_owned(), ..Container::default() };
    model.containers.insert("demo".to_owned(), demo);
    for number in 1..=3 {
        let placement = Placement { container: Some("demo".to_owned()), ..Placement::default() };
        let device = Device {
            hostname: format!("leaf-{number}"),
            unmanaged: format!("hostname leaf-{number}\nip routing\n"),
            placement,
            ..Device::default()
        };
        model.add_device(&format!("00:1c:73:00:00:0{number}"), device).unwrap();
    }
    let who = who(&mut model);
    (model, who)
}

fn configlet(model: &mut Model, name: &str, config: &str) -> String {
    let new = Configlet { name: name.to_owned(), config: config.to_owned(), ..Configlet::default() };
    model.add_configlet("cvpadmin", new).unwrap()
}

fn assign(to: &str, kind: &str, keys: &[String]) -> Action {
    Action {
        info: "assign".to_owned(),
        action: "associate".to_owned(),
        node_type: "configlet".to_owned(),
        to_id: to.to_owned(),
        to_id_type: kind.to_owned(),
        configlet_list: keys.to_vec(),
        ..Action::default()
    }
}

fn container(what: &str, key: &str, name: &str, parent: &str) -> Action {
    Action {
        action: what.to_owned(),
        node_type: "container".to_owned(),
        node_id: key.to_owned(),
        node_name: name.to_owned(),
        to_id: parent.to_owned(),
        ..Action::default()
    }
}

fn relocate(what: &str, mac: &str, to: &str) -> Action {
    Action {
        action: what.to_owned(),
        node_type: "netelement".to_owned(),
        node_id: mac.to_owned(),
        to_id: to.to_owned(),
        ..Action::default()
    }
}

fn save(model: &mut Model, who: &Who, actions: Vec<Action>) -> Result<Vec<u64>, Refused> {
    model.save(who, Some(actions))
}

/// Does what is wanted, until nothing is.
fn work(model: &mut Model) {
    loop {
        let jobs = model.take_jobs();
        if jobs.is_empty() {
            return;
        }
        for job in jobs {
            one(model, job);
        }
    }
}

fn one(model: &mut Model, job: Job) {
    match job {
        Job::Push { task } => {
            let result = model.push_of(task).map(|push| push.config);
            model.finish_task(task, result);
        }
        Job::Act { change, stage } => model.act(&change, &stage),
        Job::Wake => model.tick(),
    }
}

fn execute(model: &mut Model, tasks: &[u64]) {
    let ids: Vec<String> = tasks.iter().map(u64::to_string).collect();
    model.execute_tasks("cvpadmin", &ids).unwrap();
    work(model);
}

fn running(model: &Model) -> &str {
    &model.devices[MAC].running
}

#[test]
fn what_is_assigned_runs_once_its_task_does() {
    let (mut model, who) = model();
    let (a, b) = (configlet(&mut model, "a", "vlan 1\n"), configlet(&mut model, "b", "vlan 2\nvlan 1\n"));
    let top = save(&mut model, &who, vec![assign("demo", "container", &[b.clone()])]).unwrap();
    assert_eq!(top.len(), 3, "every device below");
    let own =
        save(&mut model, &who, vec![assign(MAC, "netelement", &[a.clone(), b.clone(), a.clone()])]).unwrap();
    let held: Vec<_> =
        model.held(&model.devices[MAC]).into_iter().map(|held| (held.key, held.from)).collect();
    assert_eq!(held, [(b.clone(), Some("demo".to_owned())), (a, None)], "inherited first, each once");
    assert_eq!(running(&model), "hostname leaf-1\nip routing\n", "nothing runs yet");
    assert_eq!(model.compliance(&model.devices[MAC]).code(), "0001");
    execute(&mut model, &own);
    assert_eq!(running(&model), "hostname leaf-1\nip routing\nvlan 2\nvlan 1\n");
    assert_eq!(model.compliance(&model.devices[MAC]).code(), "0000");
    execute(&mut model, &top);
    let gone = save(&mut model, &who, vec![assign("demo", "container", &[])]).unwrap();
    execute(&mut model, &gone);
    assert_eq!(running(&model), "hostname leaf-1\nip routing\nvlan 1\n");
    assert_eq!(model.check(), Vec::<String>::new());
}

#[test]
fn unmanaged_lines_go_where_that_is_wanted() {
    let (mut model, who) = model();
    model.settings.unmanaged = Unmanaged::Replace;
    let a = configlet(&mut model, "a", "vlan 1\n");
    let tasks = save(&mut model, &who, vec![assign(MAC, "netelement", &[a])]).unwrap();
    execute(&mut model, &tasks);
    assert_eq!(running(&model), "vlan 1\n");
    assert_eq!(model.compliance(&model.devices[MAC]).code(), "0000");
}

#[rstest::rstest]
#[case::taken_name(vec![container("add", "new_container", "Demo", ROOT)], "122518")]
#[case::no_parent(vec![container("add", "new_container", "x", "absent")], "122801")]
#[case::not_empty(vec![container("delete", "demo", "", "")], "122809")]
#[case::root(vec![container("delete", ROOT, "", "")], "122809")]
#[case::where_it_is(vec![relocate("update", MAC, "demo")], "122518")]
#[case::no_device(vec![relocate("update", "00:00:00:00:00:00", ROOT)], "122801")]
#[case::no_configlet(vec![assign(MAC, "netelement", &["absent".to_owned()])], "132801")]
#[case::second_of_two(vec![relocate("update", MAC, ROOT), relocate("update", MAC, ROOT)], "122518")]
#[case::unknown(vec![relocate("explode", MAC, ROOT)], "122718")]
fn what_cannot_be_saved_changes_nothing(#[case] actions: Vec<Action>, #[case] code: &str) {
    let (mut model, who) = model();
    let before = serde_json::to_value((&model.containers, &model.devices, &model.tasks)).unwrap();
    assert_eq!(save(&mut model, &who, actions.clone()).unwrap_err().code(), code);
    let raw: Vec<_> = actions.into_iter().map(|action| (action, Map::new())).collect();
    assert_eq!(model.add_actions(&who, raw).unwrap_err().code(), code);
    assert!(model.actions_of(&who).is_empty());
    assert_eq!(serde_json::to_value((&model.containers, &model.devices, &model.tasks)).unwrap(), before);
}

#[test]
fn several_changes_of_a_device_make_one_task() {
    let (mut model, who) = model();
    let a = configlet(&mut model, "a", "vlan 1\n");
    let actions = vec![
        container("add", "new_container", "rack", ROOT),
        Action { to_name: "rack".to_owned(), ..relocate("update", MAC, "new_container") },
        assign(MAC, "netelement", &[a]),
    ];
    let tasks = save(&mut model, &who, actions).unwrap();
    assert_eq!(tasks.len(), 1);
    assert_eq!(model.tasks[&tasks[0]].kind, TaskKind::Move("demo".to_owned()));
    execute(&mut model, &tasks);
    assert!(running(&model).ends_with("vlan 1\n"));
    let reset = save(&mut model, &who, vec![relocate("reset", MAC, UNDEFINED)]).unwrap();
    execute(&mut model, &reset);
    assert_eq!(running(&model), "hostname leaf-1\nip routing\n", "it is wiped");
    assert_eq!(model.check(), Vec::<String>::new());
}

#[test]
fn nothing_to_push_is_no_task() {
    let (mut model, who) = model();
    let a = configlet(&mut model, "a", "ip routing\n");
    let zero = serde_json::from_value(json!({"mismatch": 0, "reconcile": 0, "new": 0})).unwrap();
    let action = Action { compare_count: Some(zero), ..assign(MAC, "netelement", &[a.clone()]) };
    assert_eq!(save(&mut model, &who, vec![action]).unwrap(), Vec::<u64>::new());
    assert_eq!(model.devices[MAC].placement.own, [a]);
}

#[test]
fn sessions_end_by_themselves() {
    let (mut model, who) = model();
    let secrets = [who.session.clone()];
    assert!(model.recognize(&secrets).is_some());
    model.clock.set(NOW + 12 * 3_600_000 - 1);
    assert!(model.recognize(&secrets).is_some(), "the clock restarts with each request");
    model.clock.set(NOW + 24 * 3_600_000 - 2);
    assert!(model.recognize(&secrets).is_some());
    model.clock.set(NOW + 24 * 3_600_000);
    assert!(model.recognize(&secrets).is_none(), "it is a day old");
    assert!(model.recognize(&secrets).is_none(), "dead ones stay dead");
}

#[test]
fn tokens_are_good_for_their_time() {
    let (mut model, _) = model();
    let account = Account { roles: vec![ADMIN.to_owned()], ..Account::default() };
    model.set_account("svc", account).unwrap();
    let (id, secret) = model.add_token("cvpadmin", "svc", "", 1000).unwrap();
    assert_eq!(model.recognize(std::slice::from_ref(&secret)).unwrap().user, "svc");
    assert!(model.recognize(&[format!("token {id}")]).is_none(), "the id is no secret");
    model.clock.set(NOW + 1000);
    assert!(model.recognize(&[secret]).is_none());
}

#[test]
fn passwords_end_sessions_and_are_kept_as_digests() {
    let (mut model, who) = model();
    let user = User { password: "other".to_owned(), roles: vec![ADMIN.to_owned()], ..User::default() };
    model.update_user("cvpadmin", user).unwrap();
    assert!(model.recognize(&[who.session]).is_none());
    assert!(model.login("cvpadmin", "secret").is_err());
    assert!(model.login("cvpadmin", "other").is_ok());
    assert!(!serde_json::to_string(&model).unwrap().contains("other"));
}

#[rstest::rstest]
#[case::missing(json!({"root": [["a"]]}), "stage a does not exist")]
#[case::twice(json!({"root": [["a"], ["a"]], "a": []}), "stage a stands at two places")]
#[case::circle(json!({"root": [["a"]], "a": [["root"]]}), "stage root stands at two places")]
#[case::lost(json!({"root": [], "a": []}), "stage a stands nowhere below root")]
fn stages_make_a_tree(#[case] stages: serde_json::Value, #[case] expected: &str) {
    let (mut model, _) = model();
    let stages: BTreeMap<String, Vec<Vec<String>>> = serde_json::from_value(stages).unwrap();
    let stage = |rows| Stage { what: What::Rows(rows), ..Stage::default() };
    let stages = stages.into_iter().map(|(id, rows)| (id, stage(rows))).collect();
    let change =
        ChangeControl { name: "x".to_owned(), root: "root".to_owned(), stages, ..ChangeControl::default() };
    let refused = model.set_change("cvpadmin", "id", change).unwrap_err();
    assert!(refused.text.contains(expected), "{refused}");
}

fn change(model: &mut Model, id: &str, rows: &[&[u64]]) {
    let mut stages = BTreeMap::new();
    let ids = |row: &&[u64]| row.iter().map(|task| format!("s{task}")).collect();
    let root = Stage { what: What::Rows(rows.iter().map(ids).collect()), ..Stage::default() };
    stages.insert("root".to_owned(), root);
    for task in rows.iter().copied().flatten() {
        let args = BTreeMap::from([("TaskID".to_owned(), task.to_string())]);
        let what = What::Action { name: "task".to_owned(), args, timeout: 10 };
        stages.insert(format!("s{task}"), Stage { what, ..Stage::default() });
    }
    let change =
        ChangeControl { name: id.to_owned(), root: "root".to_owned(), stages, ..ChangeControl::default() };
    model.set_change("cvpadmin", id, change).unwrap();
}

fn approve(model: &mut Model, id: &str) {
    let version = model.changes[id].time;
    model.approve("cvpadmin", id, true, "", Some(version)).unwrap();
}

#[test]
fn rows_run_one_after_another_and_stop_at_an_error() {
    let (mut model, who) = model();
    let a = configlet(&mut model, "a", "vlan 1\n");
    let tasks = save(&mut model, &who, vec![assign("demo", "container", &[a])]).unwrap();
    change(&mut model, "cc", &[&tasks[..2], &tasks[2..]]);
    assert_eq!(model.start("cvpadmin", "cc", "").unwrap_err().grpc(), (9, 400), "nobody approved it");
    approve(&mut model, "cc");
    model.start("cvpadmin", "cc", "").unwrap();
    let state = |model: &Model, task: u64| model.tasks[&task].state;
    assert_eq!(state(&model, tasks[1]), TaskState::Running, "side by side");
    assert_eq!(state(&model, tasks[2]), TaskState::Pending, "after the row before");
    model.take_jobs();
    model.finish_task(tasks[0], Err("broken".to_owned()));
    assert_eq!(model.changes["cc"].phase, Phase::Running, "one of the row is left");
    model.finish_task(tasks[1], Ok(String::new()));
    let over = &model.changes["cc"];
    assert_eq!(over.phase, Phase::Completed);
    assert!(over.error.as_ref().unwrap().contains("broken"));
    assert_eq!(over.stages[&format!("s{}", tasks[2])].phase, Phase::NotStarted);
    assert_eq!(model.check(), Vec::<String>::new());
}

#[test]
fn approvals_schedules_and_deadlines() {
    let (mut model, who) = model();
    let a = configlet(&mut model, "a", "vlan 1\n");
    let tasks = save(&mut model, &who, vec![assign(MAC, "netelement", &[a])]).unwrap();
    change(&mut model, "cc", &[&tasks]);
    let old = model.changes["cc"].time;
    approve(&mut model, "cc");
    change(&mut model, "cc", &[&tasks]);
    assert!(model.start("cvpadmin", "cc", "").is_err(), "what was approved was changed");
    assert!(model.approve("cvpadmin", "cc", true, "", Some(old)).is_err());
    model.schedule("cvpadmin", "cc", Some(NOW + 5000), "").unwrap();
    assert_eq!(model.next_tick(), Some(NOW + 5000));
    model.clock.set(NOW + 5000);
    model.tick();
    assert!(model.changes["cc"].error.as_ref().unwrap().contains("not approved at schedule time"));
    assert_eq!(model.changes["cc"].schedule, None);
    approve(&mut model, "cc");
    model.schedule("cvpadmin", "cc", Some(NOW + 9000), "").unwrap();
    model.clock.set(NOW + 9000);
    model.tick();
    assert_eq!(model.changes["cc"].phase, Phase::Running);
    model.take_jobs();
    model.clock.set(NOW + 30_000);
    model.tick();
    assert_eq!(model.changes["cc"].phase, Phase::Completed, "the stage had ten seconds");
    assert!(model.changes["cc"].error.as_ref().unwrap().contains("longer than it may"));
}

#[test]
fn the_oldest_api_has_the_same_change_controls() {
    let (mut model, who) = model();
    let bad = configlet(&mut model, "bad", "typocommand\n");
    let tasks = save(&mut model, &who, vec![assign("demo", "container", &[bad])]).unwrap();
    let template =
        Template { name: "t".to_owned(), commands: vec!["show version".to_owned()], ..Template::default() };
    let template = model.add_template("cvpadmin", template).unwrap();
    let of = |order: u32, id: &u64| LegacyTask { id: id.to_string(), order, template: String::new() };
    let legacy = |tasks: &[u64], template: &str| Legacy {
        tasks: tasks.iter().zip(1..).map(|(id, order)| of(order, id)).collect(),
        template: template.to_owned(),
        ..Legacy::default()
    };
    let words = |stop: bool| ("cc".to_owned(), String::new(), stop);
    let stops = model.set_legacy("cvpadmin", None, words(true), legacy(&tasks, &template), None).unwrap();
    let taken = model.set_legacy("cvpadmin", None, words(true), legacy(&tasks, ""), None).unwrap_err();
    assert!(taken.text.contains("belongs to"), "{taken}");
    model.execute_legacy("cvpadmin", std::slice::from_ref(&stops)).unwrap();
    work(&mut model);
    assert_eq!(model.changes[&stops].legacy_status(), "Failed");
    let states: Vec<_> = tasks.iter().map(|task| model.tasks[task].state).collect();
    assert_eq!(states, [TaskState::Failed, TaskState::Pending, TaskState::Pending]);
    assert_eq!(model.snapshots.len(), 3, "one of each device before");
    let goes_on = model.set_legacy("cvpadmin", None, words(false), legacy(&tasks, "None"), None).unwrap();
    model.execute_legacy("cvpadmin", std::slice::from_ref(&goes_on)).unwrap();
    work(&mut model);
    assert!(tasks.iter().all(|task| model.tasks[task].state == TaskState::Failed));
    assert_eq!(model.snapshots.len(), 3, "the word None is no template");
    assert_eq!(model.check(), Vec::<String>::new());
}

#[test]
fn what_is_loaded_goes_on() {
    let (mut model, who) = model();
    let a = configlet(&mut model, "a", "vlan 1\n");
    let tasks = save(&mut model, &who, vec![assign(MAC, "netelement", &[a])]).unwrap();
    change(&mut model, "cc", &[&tasks]);
    approve(&mut model, "cc");
    model.start("cvpadmin", "cc", "").unwrap();
    let saved = serde_json::to_string(&model).unwrap();
    let mut loaded: Model = serde_json::from_str(&saved).unwrap();
    loaded.adopt([8; 32], NOW + 1);
    work(&mut loaded);
    assert_eq!(loaded.changes["cc"].phase, Phase::Completed);
    assert!(running(&loaded).ends_with("vlan 1\n"));
    assert!(loaded.recognize(&[who.session]).is_none(), "a restart ends sessions");
    assert!(loaded.login("cvpadmin", "secret").is_ok());
    assert_eq!(loaded.check(), Vec::<String>::new());
}

#[test]
fn a_state_that_people_write_is_short() {
    let text = json!({"users": {"me": {"password": "plain", "roles": ["network-admin"]}},
        "devices": {MAC: {"hostname": "spine", "unmanaged": "ip routing\n", "placement": {"container": "root"}}}});
    let mut model: Model = serde_json::from_value(text).unwrap();
    model.adopt([1; 32], NOW);
    assert!(model.login("me", "plain").is_ok());
    assert_eq!(running(&model), "ip routing\n");
    assert_eq!(model.check(), Vec::<String>::new());
}

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
    let texts = std::iter::once(device.unmanaged.as_str())
        .chain(keys.into_iter().map(|key| model.configlets[key].config.as_str()));
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
    fn whatever_eight_clients_do(ops in proptest::collection::vec((0..8_usize, op()), 1..80)) {
        let (mut model, first) = model();
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
        }
        // What is saved is what is loaded.
        let saved = serde_json::to_value(&model).unwrap();
        let loaded: Model = serde_json::from_value(saved.clone()).unwrap();
        prop_assert_eq!(serde_json::to_value(&loaded).unwrap(), saved);
    }
}
