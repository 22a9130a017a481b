//! `based-on`: a machine takes every key it does not have itself from a prototype, which may be based on another.

use std::collections::{HashMap, HashSet};

use super::{
    parse::{Node, Value},
    problems::Problems,
    reader::{entries, text},
    shape::{listed, shown, suggest},
};

/// How many values machines may get from prototypes in all; a few prototypes could otherwise stand for billions.
const MOST_INHERITED: usize = 100_000;
/// How long a chain of prototypes may be.
const LONGEST: usize = 64;

/// The machines with what they get from their prototypes.
pub(crate) fn resolve(root: &Node, problems: &mut Problems) -> Vec<(Node, Node)> {
    let prototypes = root.get("prototypes").map(entries).unwrap_or_default();
    let by_name = prototypes.iter().map(|(name, prototype)| (name.text(), prototype)).collect();
    let mut resolving = Resolving { prototypes, by_name, problems, inherited: 0 };
    // A prototype nobody uses can be wrong all the same.
    for (name, prototype) in prototypes {
        resolving.chain(Some(name.text()), prototype);
    }
    let domains = root.get("domains").map(entries).unwrap_or_default();
    domains.iter().map(|(name, domain)| (name.clone(), resolving.domain(domain))).collect()
}

struct Resolving<'n, 'p> {
    prototypes: &'n [(Node, Node)],
    by_name: HashMap<&'n str, &'n Node>,
    problems: &'p mut Problems,
    inherited: usize,
}

impl<'n> Resolving<'n, '_> {
    fn domain(&mut self, domain: &'n Node) -> Node {
        if domain.get("based-on").is_none() {
            return domain.clone();
        }
        let mut own: Vec<(Node, Node)> = Vec::new();
        let mut keys: HashSet<&str> = ["based-on"].into();
        for ancestor in std::iter::once(domain).chain(self.chain(None, domain)) {
            for (key, value) in entries(ancestor) {
                if !keys.insert(key.text()) {
                    continue;
                }
                self.inherited = self.inherited.saturating_add(value.size());
                if self.inherited > MOST_INHERITED {
                    let message = format!("machines get more than {MOST_INHERITED} values from prototypes");
                    self.problems.add("init::too-much-inherited", &domain.span, message, None);
                    return domain.clone();
                }
                own.push((key.clone(), value.clone()));
            }
        }
        Node::new(domain.span, Value::Map(own))
    }

    /// The prototypes a machine or the prototype `name` is based on, the nearest first.
    fn chain(&mut self, name: Option<&'n str>, domain: &'n Node) -> Vec<&'n Node> {
        let mut names: Vec<&str> = name.into_iter().collect();
        let mut chain = Vec::new();
        let mut current = domain;
        while let Some(based_on) = current.get("based-on") {
            current = match text(based_on) {
                Some(name) => {
                    let Some(prototype) = self.named(based_on, name) else { break };
                    if names.contains(&name) {
                        let message = format!("the prototype `{}` is based on itself", shown(name));
                        let path = names.iter().copied().skip_while(|n| *n != name).chain([name]);
                        let path: Vec<String> = path.map(shown).collect();
                        let help = Some(path.join(" -> "));
                        self.problems.add("init::prototype-cycle", &based_on.span, message, help);
                        break;
                    }
                    names.push(name);
                    prototype
                }
                // An alias of a prototype; whatever else it may be was reported with the shape of the file.
                None => based_on,
            };
            chain.push(current);
            if chain.len() == LONGEST {
                let message = format!("prototypes are based on one another more than {LONGEST} times");
                self.problems.add("init::too-deep", &based_on.span, message, None);
                break;
            }
        }
        chain
    }

    fn named(&mut self, based_on: &Node, name: &str) -> Option<&'n Node> {
        let found = self.by_name.get(name).copied();
        if found.is_none() {
            let known: Vec<&str> = self.prototypes.iter().map(|(key, _)| key.text()).collect();
            let help = suggest(name, &known).unwrap_or_else(|| match known.is_empty() {
                true => "there is no `prototypes` in the file".to_owned(),
                false => format!("the prototypes are {}", listed(&known)),
            });
            let message = format!("there is no prototype `{}`", shown(name));
            self.problems.add("init::unknown-prototype", &based_on.span, message, Some(help));
        }
        found
    }
}
