//! In what order members of scenarios run: prerequisites by name become edges between members of one scenario, edges become
//! waves. Pure; all that is wrong is found at once.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
};

use super::model::{At, Node, Scenario, Word};
use crate::base::text::did_you_mean;

/// Something wrong with prerequisites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) code: &'static str,
    pub(super) at: At,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// The order of all members of a scenario, and of those in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    /// Numbers of members, as declared. All of a wave may run at once; the next waits for all of them.
    pub(super) waves: Vec<Vec<usize>>,
    /// For each member, as declared, those that have to be done before it.
    pub(super) needs: Vec<Vec<usize>>,
    /// The orders of members that are scenarios, by their numbers.
    pub(super) within: HashMap<usize, Order>,
}

/// What is known of a node while names are looked up.
struct Place<'s> {
    node: Option<&'s Node>,
    parent: usize,
    /// Its number among its siblings.
    number: usize,
    depth: usize,
}

/// The order of everything in a scenario; where something is wrong, all of that.
pub(super) fn order(root: &Scenario) -> Result<Order, Vec<Trouble>> {
    let mut troubles = Vec::new();
    let mut places = vec![Place { node: None, parent: 0, number: 0, depth: 0 }];
    let mut needs: Vec<Vec<Vec<usize>>> = vec![vec![Vec::new(); root.nodes.len()]];
    gather(root, 0, &mut places, &mut needs);
    let mut names: HashMap<&str, usize> = HashMap::new();
    for (id, place) in places.iter().enumerate() {
        let name = place.node.map_or(&root.name, Node::name);
        if name.as_str().is_empty() {
            continue;
        }
        if names.insert(name.as_str(), id).is_some() {
            let message = format!("the name `{name}` is taken by another change or scenario");
            troubles.push(Trouble { code: "name.duplicate", at: name.at, message, help: None });
        }
    }
    for (id, place) in places.iter().enumerate() {
        let Some(node) = place.node else { continue };
        let (after, before) = node.links();
        let mut seen = HashSet::new();
        for (word, is_before) in
            after.iter().map(|word| (word, false)).chain(before.iter().map(|w| (w, true)))
        {
            let Some(&other) = names.get(word.as_str()) else {
                let near = did_you_mean(word.as_str(), names.keys().copied());
                let help = near.map(|near| format!("did you mean `{near}`?"));
                let message = format!("there is no change or scenario `{word}`");
                troubles.push(Trouble { code: "dep.unknown", at: word.at, message, help });
                continue;
            };
            if !seen.insert((other, is_before)) {
                let message = format!("`{}` waits for `{word}` twice", node.name());
                let help = Some("remove one of them".to_owned());
                troubles.push(Trouble { code: "dep.duplicate", at: word.at, message, help });
                continue;
            }
            let (first, second) = if is_before { (id, other) } else { (other, id) };
            match lifted(&places, first, second) {
                Some((parent, first, second)) => {
                    let members = needs.get_mut(parent).and_then(|members| members.get_mut(second));
                    members.into_iter().for_each(|needed| needed.push(first));
                }
                None => troubles.push(own(word, node.name(), first == second)),
            }
        }
    }
    let order = arranged(root, 0, &places, &needs, &children(&places), &mut troubles);
    if troubles.is_empty() { Ok(order) } else { Err(troubles) }
}

fn own(word: &Word, name: &Word, itself: bool) -> Trouble {
    let message = if itself {
        format!("`{name}` cannot wait for itself")
    } else {
        format!("`{name}` and `{word}` cannot wait for one another: one is part of the other")
    };
    Trouble { code: "dep.self", at: word.at, message, help: None }
}

/// Lists all nodes below a scenario.
fn gather<'s>(set: &'s Scenario, id: usize, places: &mut Vec<Place<'s>>, needs: &mut Vec<Vec<Vec<usize>>>) {
    let depth = places.get(id).map_or(0, |place| place.depth) + 1;
    for (number, node) in set.nodes.iter().enumerate() {
        let child = places.len();
        places.push(Place { node: Some(node), parent: id, number, depth });
        match node {
            Node::Step(_) => needs.push(Vec::new()),
            Node::Scenario(inner) => {
                needs.push(vec![Vec::new(); inner.nodes.len()]);
                gather(inner, child, places, needs);
            }
        }
    }
}

fn children(places: &[Place<'_>]) -> Vec<Vec<usize>> {
    let mut found = vec![Vec::new(); places.len()];
    for (id, place) in places.iter().enumerate().skip(1) {
        found.get_mut(place.parent).into_iter().for_each(|children: &mut Vec<usize>| children.push(id));
    }
    found
}

/// The members of one scenario that an edge is between: parent, first, second. None where one holds the other.
fn lifted(places: &[Place<'_>], first: usize, second: usize) -> Option<(usize, usize, usize)> {
    let (mut first, mut second) = (first, second);
    loop {
        let (one, other) = (places.get(first)?, places.get(second)?);
        if first == second {
            return None;
        }
        if one.depth == other.depth && one.parent == other.parent {
            return Some((one.parent, one.number, other.number));
        }
        if one.depth >= other.depth {
            first = one.parent;
        }
        if other.depth >= one.depth {
            second = other.parent;
        }
    }
}

fn arranged(
    set: &Scenario,
    id: usize,
    places: &[Place<'_>],
    needs: &[Vec<Vec<usize>>],
    children: &[Vec<usize>],
    troubles: &mut Vec<Trouble>,
) -> Order {
    let members = needs.get(id).map(Vec::as_slice).unwrap_or_default();
    let waves = if set.unordered { waves(members) } else { sequence(members) };
    let waves = waves.unwrap_or_else(|cycle| {
        let named: Vec<&Word> = cycle.iter().filter_map(|at| set.nodes.get(*at)).map(Node::name).collect();
        let path: Vec<String> = named.iter().chain(named.first()).map(|name| format!("`{name}`")).collect();
        let message = format!("{} wait for one another in a circle", path.join(" -> "));
        let at = named.first().map(|name| name.at).unwrap_or_default();
        let help = Some("each waits for the next; remove one of the prerequisites".to_owned());
        troubles.push(Trouble { code: "dep.cycle", at, message, help });
        Vec::new()
    });
    let mut within = HashMap::new();
    for child in children.get(id).into_iter().flatten() {
        if let Some(Place { node: Some(Node::Scenario(inner)), number, .. }) = places.get(*child) {
            within.insert(*number, arranged(inner, *child, places, needs, children, troubles));
        }
    }
    Order { waves, needs: members.to_vec(), within }
}

/// Members by waves: each as soon as all it needs is done in earlier ones, in a wave as declared. `needs` has the numbers of
/// what each member needs. Fails with the numbers along a circle, each needing the next.
fn waves(needs: &[Vec<usize>]) -> Result<Vec<Vec<usize>>, Vec<usize>> {
    let (mut missing, dependents) = counted(needs);
    let mut wave: Vec<usize> = (0..needs.len()).filter(|at| missing.get(*at) == Some(&0)).collect();
    let mut waves = Vec::new();
    let mut done = 0;
    while !wave.is_empty() {
        done += wave.len();
        let mut next = Vec::new();
        for member in &wave {
            release(*member, &dependents, &mut missing, |free| next.push(free));
        }
        next.sort_unstable();
        waves.push(std::mem::replace(&mut wave, next));
    }
    if done == needs.len() { Ok(waves) } else { Err(circle(needs, &missing)) }
}

/// The same one by one: always the first, as declared, that needs nothing more.
fn sequence(needs: &[Vec<usize>]) -> Result<Vec<Vec<usize>>, Vec<usize>> {
    let (mut missing, dependents) = counted(needs);
    let free = (0..needs.len()).filter(|at| missing.get(*at) == Some(&0));
    let mut free: BinaryHeap<Reverse<usize>> = free.map(Reverse).collect();
    let mut waves = Vec::new();
    while let Some(Reverse(member)) = free.pop() {
        release(member, &dependents, &mut missing, |next| free.push(Reverse(next)));
        waves.push(vec![member]);
    }
    if waves.len() == needs.len() { Ok(waves) } else { Err(circle(needs, &missing)) }
}

/// For each member how many it needs, and who needs it.
fn counted(needs: &[Vec<usize>]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let mut dependents = vec![Vec::new(); needs.len()];
    for (member, needed) in needs.iter().enumerate() {
        for needed in needed {
            dependents.get_mut(*needed).into_iter().for_each(|list: &mut Vec<usize>| list.push(member));
        }
    }
    (needs.iter().map(Vec::len).collect(), dependents)
}

fn release(member: usize, dependents: &[Vec<usize>], missing: &mut [usize], mut free: impl FnMut(usize)) {
    for dependent in dependents.get(member).into_iter().flatten() {
        if let Some(count) = missing.get_mut(*dependent) {
            *count -= 1;
            if *count == 0 {
                free(*dependent);
            }
        }
    }
}

/// Follows what misses something from one to the next until it comes back.
fn circle(needs: &[Vec<usize>], missing: &[usize]) -> Vec<usize> {
    let stuck = |at: &usize| missing.get(*at).is_some_and(|count| *count > 0);
    let mut path: Vec<usize> = Vec::new();
    let mut position = HashMap::new();
    let mut at = (0..needs.len()).find(stuck);
    while let Some(member) = at {
        if let Some(start) = position.insert(member, path.len()) {
            let mut circle = path.split_off(start);
            // It begins with the one that is declared first.
            let first = circle.iter().enumerate().min_by_key(|(_, member)| **member).map_or(0, |(at, _)| at);
            circle.rotate_left(first);
            return circle;
        }
        path.push(member);
        at = needs.get(member).into_iter().flatten().copied().find(stuck);
    }
    path
}
