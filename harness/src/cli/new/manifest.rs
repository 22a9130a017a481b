//! What is written into manifests that there are. Texts in, texts out: what people wrote stays as it is, and a change counts
//! only if the manifest then says the same as before and what was added.

use serde::Deserialize;
use toml::{Spanned, Table, Value};

/// A manifest, as far as it is read for its own sake.
fn parse(text: &str) -> Result<Table, String> {
    text.parse::<Table>().map_err(|error| format!("this is no manifest: {}", error.message()))
}

/// Whether it is a package's, and whether it is a workspace's.
pub(super) fn kind(text: &str) -> Result<(bool, bool), String> {
    let table = parse(text)?;
    Ok((table.contains_key("package"), table.contains_key("workspace")))
}

/// The manifest of a package with the test target `name` and the library that it needs, `source` after `polder = `; nothing when
/// it has both.
pub(super) fn with_suite(text: &str, name: &str, source: &str) -> Result<Option<String>, String> {
    let old = parse(text)?;
    let mut wanted = old.clone();
    let mut new = text.to_owned();
    if !new.is_empty() && !new.ends_with('\n') {
        new.push('\n');
    }
    let line = format!("polder = {source}\n");
    let tables = ["dependencies", "dev-dependencies"].map(|key| old.get(key).and_then(Value::as_table));
    if !tables.iter().flatten().any(|table| table.contains_key("polder")) {
        let added = parse(&line)?;
        change(&mut wanted, "dev-dependencies", |table| table.extend(added));
        match after_header(&new, "[dev-dependencies]") {
            Some(at) => new.insert_str(at, &line),
            None => new.push_str(&format!("\n[dev-dependencies]\n{line}")),
        }
    }
    let tests = old.get("test").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let target: Table =
        [("name".to_owned(), name.into()), ("harness".to_owned(), false.into())].into_iter().collect();
    match tests.iter().find(|test| test.get("name").and_then(Value::as_str) == Some(name)) {
        Some(test) if test.as_table() == Some(&target) => {}
        Some(_) => return Err(format!("it has another test target `{name}`")),
        None => {
            push(&mut wanted, "test", target);
            new.push_str(&format!("\n[[test]]\nname = \"{name}\"\nharness = false\n"));
        }
    }
    if wanted == old {
        return Ok(None);
    }
    let by_hand = || {
        format!(
            "add by hand, and call this again: `polder = {source}` to its dev-dependencies, and a test target `{name}` with \
             `harness = false`"
        )
    };
    if parse(&new).is_ok_and(|new| new == wanted) { Ok(Some(new)) } else { Err(by_hand()) }
}

/// The manifest of a workspace with the member at the path `member`; nothing when it is one already, or is to be none.
pub(super) fn with_member(text: &str, member: &str) -> Result<Option<String>, String> {
    #[derive(Deserialize)]
    struct Manifest {
        workspace: Workspace,
    }
    #[derive(Deserialize)]
    struct Workspace {
        members: Option<Spanned<Vec<Spanned<String>>>>,
        #[serde(default)]
        exclude: Vec<String>,
    }
    let old = parse(text)?;
    let read: Result<Manifest, _> = toml::from_str(text);
    let Workspace { members, exclude } =
        read.map_err(|error| format!("this is no manifest: {}", error.message()))?.workspace;
    let known = members.as_ref().map(|all| all.get_ref().as_slice()).unwrap_or_default();
    let within = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
    let means = |pattern: &Spanned<String>| {
        let pattern = pattern.get_ref().trim_end_matches('/');
        glob::Pattern::new(pattern).is_ok_and(|pattern| pattern.matches_with(member, within))
    };
    let excluded = |folder: &String| std::path::Path::new(member).starts_with(folder);
    if known.iter().any(means) || exclude.iter().any(excluded) {
        return Ok(None);
    }
    let quoted = Value::from(member).to_string();
    let place = match (&members, known.last()) {
        (Some(_), Some(last)) => {
            let line = text
                .get(..last.span().start)
                .and_then(|before| before.rsplit('\n').next())
                .unwrap_or_default();
            // On a line of its own where the last one is.
            let gap = if line.trim().is_empty() { format!("\n{line}") } else { " ".to_owned() };
            Some((last.span().end, format!(",{gap}{quoted}")))
        }
        (Some(all), None) => Some((all.span().start + 1, quoted.clone())),
        (None, _) => after_header(text, "[workspace]").map(|at| (at, format!("members = [{quoted}]\n"))),
    };
    let mut wanted = old.clone();
    change(&mut wanted, "workspace", |table| push(table, "members", member));
    let new = place.and_then(|(at, what)| {
        let (before, after) = text.split_at_checked(at)?;
        Some(format!("{before}{what}{after}"))
    });
    match new {
        Some(new) if parse(&new).is_ok_and(|new| new == wanted) => Ok(Some(new)),
        _ => Err(format!("add by hand, and call this again: {quoted} to the members of the workspace")),
    }
}

/// Changes the table `key`, which is made where there is none. What has that name and is no table stays as it is.
fn change(table: &mut Table, key: &str, how: impl FnOnce(&mut Table)) {
    if let Value::Table(table) = table.entry(key).or_insert_with(|| Value::Table(Table::new())) {
        how(table);
    }
}

/// Adds to the array `key`, which is made where there is none.
fn push(table: &mut Table, key: &str, value: impl Into<Value>) {
    if let Value::Array(all) = table.entry(key).or_insert_with(|| Value::Array(Vec::new())) {
        all.push(value.into());
    }
}

/// Where the line after a table's header begins.
fn after_header(text: &str, header: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        let said = line.split('#').next().unwrap_or_default();
        if said.trim() == header && line.ends_with('\n') {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(text: &str) -> Result<Option<String>, String> {
        with_suite(text, "web", "\"0.1.0\"")
    }

    #[test]
    fn a_package_gets_what_it_lacks_and_keeps_what_it_has() {
        let package = "[package] # ours\nname = \"a\"";
        let dependency = "\n[dev-dependencies]\npolder = \"0.1.0\"\n";
        let target = "\n[[test]]\nname = \"web\"\nharness = false\n";
        assert_eq!(suite(package).unwrap().unwrap(), format!("{package}\n{dependency}{target}"));
        let others = "[dev-dependencies] # for tests\nrand = \"1\"\n\n[[test]]\nname = \"other\"\n";
        let expected = others.replace("tests\n", "tests\npolder = \"0.1.0\"\n") + target;
        assert_eq!(suite(others).unwrap().unwrap(), expected);
        // Whatever version it has, and by whatever name of a table.
        for there in ["[dependencies]\npolder = \"0.0.9\"\n", "[dev-dependencies.polder]\npath = \"../p\"\n"]
        {
            assert_eq!(suite(there).unwrap().unwrap(), format!("{there}{target}"));
            assert_eq!(suite(&format!("{there}{target}")).unwrap(), None);
        }
    }

    #[test]
    fn what_cannot_be_added_to_is_told_with_what_to_add() {
        let inline = "dev-dependencies = {rand = \"1\"}\n[package]\nname = \"a\"\n";
        let said = suite(inline).unwrap_err();
        assert!(said.contains("`polder = \"0.1.0\"`") && said.contains("target `web`"), "{said}");
        for odd in ["test = [{name = \"a\"}]\n", "dev-dependencies = 1\n", "test = 1\n"] {
            assert!(suite(odd).unwrap_err().starts_with("add by hand"), "{odd}");
        }
        let other = "[[test]]\nname = \"web\"\npath = \"x.rs\"\n";
        assert_eq!(suite(other).unwrap_err(), "it has another test target `web`");
        assert!(suite("[package\n").unwrap_err().starts_with("this is no manifest"));
        assert_eq!(kind("[package]\n[workspace]\n"), Ok((true, true)));
        assert!(kind("= 1").is_err());
    }

    #[test]
    fn a_workspace_gets_a_member_where_the_others_are() {
        for (old, new) in [
            ("[workspace]\nmembers = [\"a\"]\n", "[workspace]\nmembers = [\"a\", \"t/web\"]\n"),
            ("[workspace]\nmembers = [\"a\",]\n", "[workspace]\nmembers = [\"a\", \"t/web\",]\n"),
            (
                "[workspace]\nmembers = [\n    \"a\", # one\n    'b', # two\n]\n",
                "[workspace]\nmembers = [\n    \"a\", # one\n    'b',\n    \"t/web\", # two\n]\n",
            ),
            ("[workspace]\nmembers = []\n", "[workspace]\nmembers = [\"t/web\"]\n"),
            ("workspace.members = [\"a\"]\n", "workspace.members = [\"a\", \"t/web\"]\n"),
            (
                "[workspace] # x\nresolver = \"3\"\n",
                "[workspace] # x\nmembers = [\"t/web\"]\nresolver = \"3\"\n",
            ),
            ("[workspace]\nmembers = [\"t\"]\n", "[workspace]\nmembers = [\"t\", \"t/web\"]\n"),
            ("[workspace]\nmembers = [\"*\"]\n", "[workspace]\nmembers = [\"*\", \"t/web\"]\n"),
        ] {
            assert_eq!(with_member(old, "t/web"), Ok(Some(new.to_owned())), "{old}");
        }
        for there in ["members = [\"t/*\"]", "members = [\"t/web/\"]", "members = [\"a\"]\nexclude = [\"t\"]"]
        {
            assert_eq!(with_member(&format!("[workspace]\n{there}\n"), "t/web"), Ok(None), "{there}");
        }
        for odd in ["workspace = {}\n", "[workspace.package]\nversion = \"1\"\n"] {
            let said = with_member(odd, "t/web").unwrap_err();
            assert!(said.starts_with("add by hand") && said.contains("\"t/web\""), "{said}");
        }
        assert!(
            with_member("[workspace]\nmembers = 1\n", "t/web")
                .unwrap_err()
                .starts_with("this is no manifest")
        );
    }
}
