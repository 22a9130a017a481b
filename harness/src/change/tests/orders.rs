//! The orders that ModiPy's own tests have, and those of scenarios in scenarios.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use crate::change::{
    model::{Changes, Device, Driver, Node, Scenario, Step, Word},
    plan::{Plan, PlanError, Planned, PlannedSet, plan},
    text::Vars,
};

fn words(text: &str) -> Vec<Word> {
    text.split_whitespace().map(Word::from).collect()
}

fn step(name: &str, after: &str) -> Node {
    let (name, targets) = (Word::from(name), words("sw1"));
    Node::Step(Arc::new(Step { name, targets, after: words(after), ..Step::default() }))
}

fn scenario(name: &str, after: &str, unordered: bool, nodes: Vec<Node>) -> Scenario {
    Scenario { name: Word::from(name), after: words(after), unordered, nodes, ..Scenario::default() }
}

fn changes(scenario: Scenario) -> Changes {
    let device = Device { name: Word::from("sw1"), ..Device::default() };
    let driver = Driver { name: Word::from("nothing"), ..Driver::default() };
    Changes { devices: vec![device], drivers: vec![driver], scenario, ..Changes::default() }
}

fn planned(scenario: Scenario) -> Result<Plan, PlanError> {
    plan(&changes(scenario), &Vars::new())
}

/// `1 3 / 2 4`; scenarios in parentheses.
fn shown(set: &PlannedSet) -> String {
    let member = |member: &Planned| match member {
        Planned::Step(step) => step.step.name.to_string(),
        Planned::Set(set) => format!("{}({})", set.name, shown(set)),
    };
    let wave = |wave: &Vec<Planned>| wave.iter().map(member).collect::<Vec<_>>().join(" ");
    set.waves.iter().map(wave).collect::<Vec<_>>().join(" / ")
}

const MANY: &str = "begin branch1 c1 c14 c7 c18 alan c12 c41 meetup fnord wibble beatrice";
const MANY_EDGES: &str = "branch1:begin c1:branch1 c14:branch1 c7:c1 c18:c1 alan:c14 c12:c7 c41:c18 meetup:c12 \
                          meetup:c41 fnord:c41 fnord:alan wibble:meetup beatrice:fnord beatrice:meetup";

#[rstest::rstest]
#[case("1", "", "1", "1")]
#[case("1 2", "2:1", "1 / 2", "2 / 1")]
#[case("1 2", "1:2", "2 / 1", "1 / 2")]
#[case("1 2 3 4", "2:1 3:2 4:3", "1 / 2 / 3 / 4", "4 / 3 / 2 / 1")]
#[case("1 2 3 4", "2:1 4:3", "1 3 / 2 4", "4 2 / 3 1")]
#[case("1 2 3 4 5", "3:1 5:1 4:3 2:5", "1 / 3 5 / 2 4", "4 2 / 5 3 / 1")]
#[case(
    MANY,
    MANY_EDGES,
    "begin / branch1 / c1 c14 / c7 c18 alan / c12 c41 / meetup fnord / wibble beatrice",
    "beatrice wibble / fnord meetup / c41 c12 / alan c18 c7 / c14 c1 / branch1 / begin"
)]
fn waves_are_modipys_and_backing_out_is_their_reverse(
    #[case] declared: &str,
    #[case] edges: &str,
    #[case] forward: &str,
    #[case] backward: &str,
) {
    let after = |name: &str| {
        let edges = edges.split_whitespace().filter_map(|edge| edge.split_once(':'));
        edges.filter(|(second, _)| *second == name).map(|(_, first)| first).collect::<Vec<_>>().join(" ")
    };
    let nodes = declared.split(' ').map(|name| step(name, &after(name))).collect();
    let plan = planned(scenario("all", "", true, nodes)).expect("it can be planned");
    assert_eq!(shown(&plan.root), forward);
    assert_eq!(shown(&plan.reversed().root), backward);
}

#[rstest::rstest]
#[case(&[("1", "2"), ("2", "1")], "`1` -> `2` -> `1` wait for one another in a circle")]
#[case(&[("0", "c"), ("a", "b"), ("b", "c"), ("c", "a"), ("d", "")], "`a` -> `b` -> `c` -> `a` wait for")]
#[case(&[("1", "1")], "`1` cannot wait for itself")]
#[case(&[("1", "all")], "one is part of the other")]
#[case(&[("1", ""), ("2", "1 1")], "`2` waits for `1` twice")]
#[case(&[("begin", ""), ("2", "begni")], "there is no change or scenario `begni`")]
#[case(&[("1", ""), ("1", "")], "the name `1` is taken")]
fn circles_and_names_of_nothing_have_no_plan(#[case] steps: &[(&str, &str)], #[case] words: &str) {
    for unordered in [true, false] {
        let nodes = steps.iter().map(|(name, after)| step(name, after)).collect();
        let error = planned(scenario("all", "", unordered, nodes)).expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.problems.len(), 1, "{error}");
    }
}

#[test]
fn every_circle_is_found_beside_every_other_mistake() {
    let inner = scenario("inner", "", true, vec![step("a", "b"), step("b", "a")]);
    let nodes = vec![step("1", "2"), step("2", "1"), step("3", "nobody"), Node::Scenario(inner.into())];
    let error = planned(scenario("all", "", true, nodes)).expect_err("much is wrong");
    assert_eq!(error.problems.len(), 3, "{error}");
}

#[test]
fn declared_order_holds_where_prerequisites_do_not_change_it() {
    let nodes = vec![step("1", "3"), step("2", ""), step("3", ""), step("4", "")];
    let plan = planned(scenario("all", "", false, nodes)).expect("it can be planned");
    assert_eq!(shown(&plan.root), "2 / 3 / 1 / 4");
}

#[test]
fn who_waits_for_a_member_waits_for_its_scenario() {
    let first = scenario("first", "", true, vec![step("a", "b"), step("b", "")]);
    let deep = scenario("deep", "", false, vec![step("c", "b")]);
    let early = Step { name: "early".into(), targets: words("sw1"), before: words("a"), ..Step::default() };
    let early = Node::Step(Arc::new(early));
    let nodes = vec![Node::Scenario(deep.into()), step("last", "c"), Node::Scenario(first.into()), early];
    let plan = planned(scenario("all", "", true, nodes)).expect("it can be planned");
    assert_eq!(shown(&plan.root), "early / first(b / a) / deep(c) / last");
    assert_eq!(shown(&plan.clone().reversed().root), "last / deep(c) / first(a / b) / early");
    let names: Vec<_> = plan.steps().iter().map(|step| step.step.name.to_string()).collect();
    assert_eq!(names, ["early", "b", "a", "c", "last"]);
}

#[test]
fn half_a_million_edges_are_planned() {
    let after = |at: usize| {
        let after: BTreeSet<usize> = (1..=50).filter_map(|n| at.checked_sub(n * 7)).collect();
        after.iter().map(|to| format!("s{to} ")).collect::<String>()
    };
    let nodes: Vec<Node> = (0..10_000).map(|at| step(&format!("s{at}"), &after(at))).collect();
    let edges: usize = nodes.iter().map(|node| node.links().0.len()).sum();
    assert!(edges > 490_000, "{edges}");
    let changes = changes(scenario("all", "", true, nodes));
    let start = Instant::now();
    let plan = plan(&changes, &Vars::new()).expect("it can be planned");
    println!("10,000 changes with {edges} prerequisites: {:?}", start.elapsed());
    assert_eq!(plan.steps().len(), 10_000);
}
