//! One tree laid over another: mappings are united key by key, anything else is replaced.

use std::collections::HashMap;

use super::parse::{Node, Value};

/// `over` wins; the order is that of `base`, with what is new at the end.
pub(crate) fn lay(base: &Node, over: &Node) -> Node {
    let (Value::Map(below), Value::Map(above)) = (base.value(), over.value()) else {
        return over.clone();
    };
    let mut entries = below.clone();
    let places: HashMap<&str, usize> = below.iter().enumerate().map(|(i, (k, _))| (k.text(), i)).collect();
    for (key, value) in above {
        match places.get(key.text()).and_then(|i| entries.get_mut(*i)) {
            Some(entry) => *entry = (key.clone(), lay(&entry.1, value)),
            None => entries.push((key.clone(), value.clone())),
        }
    }
    Node::new(over.span, Value::Map(entries))
}
