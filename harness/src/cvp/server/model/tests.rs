//! The model, without HTTP: what each change does. What holds whatever is done is in `interleaving`.

use std::collections::BTreeMap;

use serde_json::{Map, json};

use super::*;
use crate::cvp::server::wire::classic::Action;

const MAC: &str = "00:1c:73:00:00:01";
const NOW: Ms = 1_000_000;

pub(super) fn who(model: &mut Model) -> Who {
    let session = model.login("cvpadmin", "secret").unwrap();
    Who { user: "cvpadmin".to_owned(), session }
}

/// A portal with three devices in a container `Demo` whose key is `demo`.
pub(super) fn model() -> (Model, Who) {
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

pub(super) fn assign(to: &str, kind: &str, keys: &[String]) -> Action {
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

pub(super) fn container(what: &str, key: &str, name: &str, parent: &str) -> Action {
    Action {
        action: what.to_owned(),
        node_type: "container".to_owned(),
        node_id: key.to_owned(),
        node_name: name.to_owned(),
        to_id: parent.to_owned(),
        ..Action::default()
    }
}

pub(super) fn relocate(what: &str, mac: &str, to: &str) -> Action {
    Action {
        action: what.to_owned(),
        node_type: "netelement".to_owned(),
        node_id: mac.to_owned(),
        to_id: to.to_owned(),
        ..Action::default()
    }
}

pub(super) fn save(model: &mut Model, who: &Who, actions: Vec<Action>) -> Result<Vec<u64>, Refused> {
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

pub(super) fn one(model: &mut Model, job: Job) {
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
    let top = save(&mut model, &who, vec![assign("demo", "container", std::slice::from_ref(&b))]).unwrap();
    assert_eq!(top.len(), 3, "every device below");
    let own =
        save(&mut model, &who, vec![assign(MAC, "netelement", &[a.clone(), b.clone(), a.clone()])]).unwrap();
    let held: Vec<_> =
        model.held(&model.devices[MAC]).into_iter().map(|held| (held.key, held.from)).collect();
    assert_eq!(held, [(b.as_str(), Some("demo")), (&a, None)], "inherited first, each once");
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
    let action = Action { compare_count: Some(zero), ..assign(MAC, "netelement", std::slice::from_ref(&a)) };
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

pub(super) fn change(model: &mut Model, id: &str, rows: &[&[u64]]) {
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

pub(super) fn approve(model: &mut Model, id: &str) {
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
