//! What the machine decides, against a world that only knows which changes are there: whatever fails in whatever order, a
//! change is there in the end where it was kept, and nowhere else; and whoever is killed at any moment and goes on gets to
//! the same end.

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;

use crate::change::{
    Act, Changes, Entry, Failure, Key, Kind, Machine, Outcome, Plan, Record, Report, State, Way,
    model::{
        Device, Driver, Exchange, Iterate, Matrix, Node, OnFail, Parallel, Phase, Policy, Retry, Rollback,
        RollbackAction, Scenario, Script, Step, Word,
    },
    plan,
    text::{Text, Vars},
};

/// What goes wrong, by change, device, row, phase and attempt; always the same.
#[derive(Debug, Clone)]
struct Mishaps {
    seed: u64,
    /// Of a hundred phases that do and check.
    forward: u64,
    /// Of a hundred phases that undo.
    back: u64,
}

impl Mishaps {
    fn roll(&self, key: &Key, phase: Phase) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, key, phase).hash(&mut hasher);
        hasher.finish()
    }

    fn fails(&self, key: &Key, phase: Phase) -> bool {
        let rate = if Phase::BACK.contains(&phase) { self.back } else { self.forward };
        self.roll(key, phase) % 100 < rate
    }
}

/// Which changes are there: change, device, row.
type World = BTreeSet<(String, String, Option<usize>)>;

/// Does a phase to the world.
fn done(world: &mut World, mishaps: &Mishaps, key: &Key, phase: Phase) -> Outcome {
    let thing = (key.step.clone(), key.device.clone(), key.row);
    let fails = mishaps.fails(key, phase);
    match phase {
        // A failing command may have done its work or not.
        Phase::Apply if !fails || mishaps.roll(key, phase).is_multiple_of(2) => drop(world.insert(thing)),
        Phase::Rollback if !fails => drop(world.remove(&thing)),
        _ => {}
    }
    let sent = phase == Phase::Apply;
    if fails {
        let (kind, message) = (Kind::Exit, format!("{phase} fails"));
        return Outcome::Failed(Failure { kind, message, sent, way: Way::Script(0), tail: String::new() });
    }
    Outcome::Ok { sent }
}

struct Simulation {
    entries: Vec<Entry>,
    world: World,
    report: Report,
}

/// Runs until nothing is left, or until so many entries are written. `choice` decides what ends next.
fn simulate(
    plan: &Plan,
    mishaps: &Mishaps,
    before: (Vec<Entry>, World),
    until: usize,
    mut choice: u64,
) -> Simulation {
    let (mut entries, mut world) = before;
    let mut machine = Machine::new(plan, 3, &[]);
    let mut now = entries.last().map_or(1000, |entry: &Entry| entry.at + 1);
    entries.iter().for_each(|entry| machine.fold(entry));
    let mut under_way: Vec<(Key, Phase)> = Vec::new();
    let mut looks = 0;
    'run: loop {
        looks += 1;
        assert!(looks < 5_000, "it never ends: {:#?}", &entries[entries.len() - 20..]);
        let mut wait = None;
        let mut records = Vec::new();
        for act in machine.next(now) {
            match act {
                Act::Wait { until } => wait = Some(until),
                Act::Begin { key, phase, way, .. } => {
                    under_way.push((key.clone(), phase));
                    records.push(Record::Begin { key, phase, way });
                }
                Act::Alert { key, why } => records.push(Record::Dirty { key, why }),
            }
        }
        let quiet = records.is_empty();
        if quiet && under_way.is_empty() {
            match wait {
                Some(until) => now = until,
                None => break,
            }
            continue;
        }
        if quiet {
            choice = choice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(choice >> 33).unwrap() % under_way.len();
            let (key, phase) = under_way.remove(at);
            let outcome = done(&mut world, mishaps, &key, phase);
            records.push(Record::End { key, phase, outcome, took: 1 });
        }
        for record in records {
            if entries.len() == until {
                break 'run;
            }
            now += 1;
            let entry = Entry { at: now, record };
            machine.fold(&entry);
            entries.push(entry);
        }
    }
    Simulation { entries, world, report: machine.report() }
}

fn script(text: &str) -> Option<Script> {
    let exchange = Exchange { send: Some(Text::plain(text)), ..Exchange::default() };
    Some(Script { exchanges: vec![exchange], ..Script::default() })
}

#[derive(Debug, Clone)]
struct Ask {
    policy: Policy,
    rows: bool,
    by_phase: bool,
    phases: (bool, bool, bool),
    devices: usize,
}

fn step(number: usize, ask: &Ask) -> Node {
    let name = format!("s{number}");
    let rollback = Rollback { when: None, action: RollbackAction::Script(script("undo").unwrap()) };
    Node::Step(Arc::new(Step {
        name: Word::from(name.as_str()),
        targets: (0..ask.devices).map(|at| Word::from(format!("d{at}").as_str())).collect(),
        matrix: ask.rows.then(|| "rows".into()),
        iterate: if ask.by_phase { Iterate::Phase } else { Iterate::Cycle },
        policy: ask.policy,
        precheck: script("look").filter(|_| ask.phases.0),
        apply: script("do"),
        verify: script("check").filter(|_| ask.phases.1),
        rollback: vec![rollback],
        verify_rollback: script("check").filter(|_| ask.phases.2),
        ..Step::default()
    }))
}

fn planned(unordered: bool, on_fail: OnFail, asks: &[Ask]) -> Plan {
    let nodes: Vec<Node> = asks.iter().enumerate().map(|(number, ask)| step(number, ask)).collect();
    // The second half is a scenario of its own.
    let mut outer: Vec<Node> = nodes;
    let inner = outer.split_off(outer.len() / 2);
    let policy = Policy { on_fail, ..Policy::default() };
    let inner = Scenario { name: "inner".into(), nodes: inner, policy, unordered, ..Scenario::default() };
    outer.push(Node::Scenario(Box::new(inner)));
    let row = |at: usize| Vars::from([("row".to_owned(), at.to_string())]);
    let matrix = Matrix { name: "rows".into(), rows: vec![row(0), row(1)], ..Matrix::default() };
    let changes = Changes {
        devices: (0..3)
            .map(|at| Device { name: format!("d{at}").as_str().into(), ..Device::default() })
            .collect(),
        drivers: vec![Driver { name: "x".into(), ..Driver::default() }],
        matrices: vec![matrix],
        scenario: Scenario { name: "all".into(), nodes: outer, policy, unordered, ..Scenario::default() },
        ..Changes::default()
    };
    plan(&changes, &Vars::new()).unwrap()
}

fn on_fail() -> impl Strategy<Value = OnFail> {
    prop_oneof![Just(OnFail::Stop), Just(OnFail::Continue), Just(OnFail::RollbackAll)]
}

fn ask(parallel: bool) -> impl Strategy<Value = Ask> {
    let width = if parallel { 1..4_usize } else { 1..2 };
    (on_fail(), 0..3_u32, width, any::<(bool, bool, bool, bool, bool)>(), 1..4_usize).prop_map(
        |(on_fail, retries, width, (rows, by_phase, precheck, verify, verify_back), devices)| Ask {
            policy: Policy {
                on_fail,
                retry: Retry { max: Some(retries), delay: Duration::from_millis(7) },
                devices: NonZeroUsize::new(width)
                    .filter(|width| width.get() > 1)
                    .map_or(Parallel::Serial, Parallel::Max),
                ..Policy::default()
            },
            rows,
            by_phase,
            phases: (precheck, verify, verify_back),
            devices,
        },
    )
}

fn world_of(plan: &Plan, simulation: &Simulation) {
    let Simulation { world, report, .. } = simulation;
    let results: BTreeMap<(&str, &str), &str> = report
        .steps
        .iter()
        .flat_map(|step| step.devices.iter().map(|d| ((step.name.as_str(), d.device.as_str()), d.result)))
        .collect();
    for planned in plan.steps() {
        for unit in &planned.units {
            let name = planned.step.name.to_string();
            let result = results[&(name.as_str(), unit.device.as_str())];
            let there = world.contains(&(name.clone(), unit.device.clone(), unit.row));
            match result {
                "ok" => assert!(there, "{name} on {} row {:?} is not there", unit.device, unit.row),
                "failed" | "rolled_back" | "not_attempted" => {
                    assert!(!there, "{name} on {} row {:?} is there: {result}", unit.device, unit.row);
                }
                "rollback_failed" => {}
                other => panic!("{name} on {}: {other}", unit.device),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_change_is_there_where_it_was_kept_and_nowhere_else(
        unordered in any::<bool>(),
        of_sets in on_fail(),
        asks in prop::collection::vec(ask(true), 1..5),
        mishaps in (any::<u64>(), 0..40_u64, prop_oneof![Just(0), 0..30_u64]),
        choice in any::<u64>(),
    ) {
        let mishaps = Mishaps { seed: mishaps.0, forward: mishaps.1, back: mishaps.2 };
        let plan = planned(unordered, of_sets, &asks);
        let run = simulate(&plan, &mishaps, Default::default(), usize::MAX, choice);
        world_of(&plan, &run);
        // The journal alone leads to the same verdict, and to nothing more to do.
        let mut machine = Machine::new(&plan, 3, &[]);
        run.entries.iter().for_each(|entry| machine.fold(entry));
        prop_assert_eq!(machine.next(u64::MAX), vec![]);
        prop_assert_eq!(machine.report(), run.report.clone());
        // What is undone once more is not there at all.
        let mut entries = run.entries.clone();
        entries.push(Entry { at: 0, record: Record::Undo });
        let undone = simulate(&plan, &Mishaps { back: 0, ..mishaps.clone() }, (entries, run.world.clone()), usize::MAX, choice);
        if mishaps.back == 0 {
            prop_assert_eq!(undone.world, World::new());
            prop_assert_eq!(undone.report.exit() as u8, 0);
        }
    }

    #[test]
    fn whoever_is_killed_anywhere_and_goes_on_gets_to_the_same_end(
        of_sets in on_fail(),
        asks in prop::collection::vec(ask(false), 1..4),
        mishaps in (any::<u64>(), 0..30_u64),
        lost in any::<bool>(),
    ) {
        let mishaps = Mishaps { seed: mishaps.0, forward: mishaps.1, back: 0 };
        let plan = planned(false, of_sets, &asks);
        let whole = simulate(&plan, &mishaps, Default::default(), usize::MAX, 0);
        for cut in 0..=whole.entries.len() {
            let mut run = simulate(&plan, &mishaps, Default::default(), cut, 0);
            // What had begun may have happened without anybody writing it down.
            if let (true, Some(Entry { record: Record::Begin { key, phase, .. }, .. })) = (lost, run.entries.last()) {
                done(&mut run.world, &mishaps, key, *phase);
            }
            run.entries.push(Entry { at: 5, record: Record::Resumed });
            let resumed = simulate(&plan, &mishaps, (run.entries, run.world), usize::MAX, 0);
            prop_assert_eq!(&resumed.world, &whole.world, "cut at {}", cut);
            let states = |report: &Report| -> Vec<State> { report.steps.iter().map(|step| step.state).collect() };
            prop_assert_eq!(states(&resumed.report), states(&whole.report), "cut at {}", cut);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn whoever_stops_it_anywhere_and_goes_on_leaves_the_same_world(
        of_sets in on_fail(),
        asks in prop::collection::vec(ask(false), 1..4),
        mishaps in (any::<u64>(), 0..30_u64),
    ) {
        let mishaps = Mishaps { seed: mishaps.0, forward: mishaps.1, back: 0 };
        let plan = planned(false, of_sets, &asks);
        let whole = simulate(&plan, &mishaps, Default::default(), usize::MAX, 0);
        for cut in 0..=whole.entries.len() {
            let mut run = simulate(&plan, &mishaps, Default::default(), cut, 0);
            if matches!(run.entries.last(), Some(Entry { record: Record::Begin { .. }, .. })) {
                continue;
            }
            let at = run.entries.last().map_or(1000, |entry| entry.at);
            run.entries.push(Entry { at, record: Record::Stopped { why: "enough".to_owned() } });
            let mut stopped = simulate(&plan, &mishaps, (run.entries, run.world), usize::MAX, 0);
            let at = stopped.entries.last().map_or(1000, |entry| entry.at);
            stopped.entries.push(Entry { at, record: Record::Resumed });
            let resumed = simulate(&plan, &mishaps, (stopped.entries, stopped.world), usize::MAX, 0);
            // What was not begun when all was undone may stay so; what is there is the same.
            prop_assert_eq!(&resumed.world, &whole.world, "stopped at {}", cut);
        }
    }
}
