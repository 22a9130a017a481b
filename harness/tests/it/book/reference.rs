//! The book's reference, made from the code it is about.

use std::{fmt::Write, fs};

use clap::{Arg, Command};
use polder::config::{Sources, VARIABLES};
use serde_json::{Map, Value};

use super::{
    markdown::root,
    tables::arguments::{OF_SCENARIOS, OF_SETUP, OF_SUITES, OF_TEARDOWN},
};

/// Says at the top of each page that nobody should write there.
const MADE: &str = "<!-- Made from the code by `cargo ci docs --write`. -->\n\n";

/// Compares a file with what it should be, or writes it.
pub(super) fn made(path: &str, text: &str) {
    let file = root().join(path);
    if std::env::var_os("POLDER_BLESS").is_some() {
        fs::write(&file, text).unwrap();
    }
    let now = fs::read_to_string(&file).unwrap_or_default();
    let line = now.lines().zip(text.lines()).position(|(now, made)| now != made);
    let line = line.unwrap_or_else(|| now.lines().count().min(text.lines().count())) + 1;
    assert!(now == text, "{path}:{line} is not what the code says; `cargo ci docs --write` writes it anew");
}

/// A text in a cell of a table, or anywhere where nothing of it is markup.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for (number, piece) in text.split('`').enumerate() {
        let is_code = number % 2 == 1;
        let piece = piece.replace('|', "\\|").replace('\n', " ");
        if number > 0 {
            out.push('`');
        }
        out.push_str(&if is_code { piece } else { piece.replace('<', "&lt;") });
    }
    out
}

/// How an argument is typed.
fn typed(arg: &Arg) -> String {
    let names: Vec<String> =
        arg.get_value_names().unwrap_or_default().iter().map(|name| format!(" {name}")).collect();
    let value = if arg.get_action().takes_values() { names.concat() } else { String::new() };
    let several = arg.get_num_args().is_some_and(|number| number.max_values() > names.len().max(1));
    let dots = if several || matches!(arg.get_action(), clap::ArgAction::Append) { " …" } else { "" };
    let value = value.replace('|', "\\|");
    if arg.is_positional() {
        return format!("`{}{dots}`", value.trim());
    }
    let short = arg.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    format!("{short}`--{}{value}{dots}`", arg.get_long().unwrap_or_default())
}

/// What libtest-mimic says of its options and is not so here.
const NOT_SO: &[(&str, &str)] = &[
    ("bench", "Nothing is run: there are no benchmarks"),
    ("ignored", "Run only ignored tests"),
    ("include_ignored", "Run ignored tests as well"),
    ("list", "List all tests; nothing is started"),
    ("nocapture", "Show lines of `polder::log!` as they come"),
    ("show_output", "As --nocapture"),
    ("test_threads", "How many suites run side by side"),
];

fn meaning(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let is_flag = !arg.get_action().takes_values();
    let default = if defaults.is_empty() || is_flag {
        String::new()
    } else {
        format!(" [default: `{}`]", defaults.join(" "))
    };
    let values: Vec<_> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let values =
        if values.is_empty() || is_flag { String::new() } else { format!(" One of {}.", values.join(", ")) };
    plain(&format!("{help}{values}{default}"))
}

fn arguments(out: &mut String, command: &Command, is_top: bool) {
    let shown = |arg: &&Arg| {
        let is_help = matches!(arg.get_id().as_str(), "help" | "version");
        !arg.is_hide_set() && !is_help && (is_top || !arg.is_global_set())
    };
    let all: Vec<&Arg> = command.get_arguments().filter(shown).collect();
    if all.is_empty() {
        return;
    }
    out.push_str("| | |\n| --- | --- |\n");
    for arg in all {
        let _ = writeln!(out, "| {} | {} |", typed(arg), meaning(arg));
    }
    out.push('\n');
}

fn verb(out: &mut String, command: &Command, path: &str) {
    let path = format!("{path} {}", command.get_name());
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let verbs: Vec<&Command> =
        command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help").collect();
    let _ = writeln!(out, "## `{path}`\n\n{}\n", plain(&about));
    if verbs.is_empty() || command.get_arguments().any(|arg| arg.is_positional()) {
        let usage = command.clone().render_usage().to_string();
        let _ = writeln!(out, "```text\n{}\n```\n", usage.trim_start_matches("Usage: "));
    }
    arguments(out, command, false);
    for below in verbs {
        verb(out, below, &path);
    }
}

#[test]
fn the_command_is_told_verb_by_verb() {
    let mut command = polder::cli::command();
    command.build();
    let mut out = format!(
        "# The command\n\n{MADE}Exit codes: 0 done, 1 failed, 2 usage or bad input, 3 something was left that needs a person, 4 stopped by the \
         operator, 5 environment or harness fault. `polder shell`, `exec` and `script` pass the remote status through.\n\n\
         ## Options of all verbs\n\n"
    );
    arguments(&mut out, &command, true);
    for below in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        verb(&mut out, below, "polder");
    }
    made("docs/reference/command.md", &(out.trim_end().to_owned() + "\n"));
}

#[test]
fn the_command_line_of_suites_is_told() {
    let mut command = polder::front::command();
    for (id, help) in NOT_SO {
        command = command.mut_arg(id, |arg| arg.help(*help));
    }
    command.build();
    let mut out = format!(
        "# The command line of suites\n\n{MADE}`cargo test --test NAME -- ARGUMENTS`. The exit code is 0 when everything passed, 101 when \
         something failed, 2 for wrong usage and bad input, 4 after Ctrl-C, 5 when nothing could be run.\n\n"
    );
    arguments(&mut out, &command, true);
    let more = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(out, "{}", plain(&more));
    made("docs/reference/suite-command.md", &out);
}

fn rows(out: &mut String, all: &[(&str, &str, &str)]) {
    out.push_str("| argument | written | meaning |\n| --- | --- | --- |\n");
    for (name, form, meaning) in all {
        let _ = writeln!(out, "| `{name}` | `{form}` | {} |", plain(meaning));
    }
    out.push('\n');
}

#[test]
fn attributes_are_told_argument_by_argument() {
    let mut out = format!(
        "# Attributes\n\n{MADE}[Suites](../suites.md) tells what the runner does with all this.\n\n## `#[polder::suite(..)]`\n\n\
         Marks a module as a suite. All of its arguments may be left out.\n\n"
    );
    rows(&mut out, OF_SUITES);
    out.push_str("## `#[test(..)]`\n\nMarks a function as a scenario. `#[ignore]` and `#[ignore = \"why\"]` are libtest's.\n\n");
    rows(&mut out, OF_SCENARIOS);
    out.push_str("## `#[setup(..)]`\n\nWhat runs before the scenarios.\n\n");
    rows(&mut out, OF_SETUP);
    out.push_str("## `#[teardown(..)]`\n\nWhat runs after the scenarios.\n\n");
    rows(&mut out, OF_TEARDOWN);
    out.push_str(
        "## Of parameters\n\n| attribute | meaning |\n| --- | --- |\n\
         | `#[role(\"server\")]` | The machine of that role, or with `&Vms` all of them. |\n\
         | `#[case]` | The parameter that is given the values of `case` or `values`. |\n",
    );
    made("docs/reference/attributes.md", &out);
}

/// What a key takes, as the schema has it.
fn takes(schema: &Map<String, Value>) -> String {
    if let Some(to) = schema.get("$ref").and_then(Value::as_str) {
        let name = to.trim_start_matches("#/$defs/");
        return format!("[{name}](#{name})");
    }
    let object = |value: &Value| takes(value.as_object().unwrap_or(&Map::new()));
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words
            .iter()
            .filter_map(Value::as_str)
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    if let Some(kinds) = schema.get("anyOf").and_then(Value::as_array) {
        let is_variable = |kind: &Value| kind["$ref"] == "#/$defs/variable";
        let first = &kinds[0];
        // A number or a text of a form, true or false, a count: their second forms say the same as text.
        if kinds.iter().any(is_variable) {
            return match first["type"].as_str() {
                Some("integer") => format!("{} to {}", first["minimum"], first["maximum"]),
                Some("boolean") => "`true`, `false`".to_owned(),
                Some("number") if first.get("maximum").is_some() => "0 to 100".to_owned(),
                Some("number") => "text".to_owned(),
                _ => object(first),
            };
        }
        return kinds.iter().map(object).fold(Vec::new(), unlike).join(", or ");
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("array") => format!("list: {}", object(&schema["items"])),
        Some("object") => match object(&schema["additionalProperties"]).as_str() {
            "" | "anything" => "mapping".to_owned(),
            each => format!("names, each with {each}"),
        },
        _ if schema.contains_key("type") => "text".to_owned(),
        _ => "anything".to_owned(),
    }
}

/// The texts, each once.
fn unlike(mut texts: Vec<String>, text: String) -> Vec<String> {
    if !texts.contains(&text) {
        texts.push(text);
    }
    texts
}

fn mapping(out: &mut String, mapping: &Value) {
    out.push_str("| key | takes | meaning |\n| --- | --- | --- |\n");
    let required = |name: &str| {
        let all = mapping.get("required").and_then(Value::as_array);
        if all.is_some_and(|all| all.iter().any(|one| one == name)) { " *Needed.*" } else { "" }
    };
    for (name, schema) in mapping["properties"].as_object().unwrap() {
        if name == "comment" {
            continue;
        }
        let schema = schema.as_object().unwrap();
        let idle = if schema.contains_key("deprecated") { " *Does nothing.*" } else { "" };
        let meaning = plain(schema["description"].as_str().unwrap_or_default());
        let _ = writeln!(out, "| `{name}` | {} | {meaning}{}{idle} |", takes(schema), required(name));
    }
    out.push('\n');
}

#[test]
fn init_files_are_told_key_by_key() {
    let schema = polder::initfile::schema();
    let mut out = format!(
        "# Keys of init files\n\n{MADE}YAML or JSON. Unknown keys are errors, with what was probably meant; `comment` and keys that begin with \
         `x-` may stand in each mapping and mean nothing. A text may have variables, `${{NAME}}`. `polder schema` prints the same for \
         editors, `polder validate` says what is wrong with a file.\n\n## file\n\n"
    );
    mapping(&mut out, &schema);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        if definition.get("properties").is_some() {
            let _ = writeln!(out, "## {name}\n");
            mapping(&mut out, definition);
        }
    }
    made("docs/reference/init-file.md", &(out.trim_end().to_owned() + "\n"));
}

#[test]
fn the_configuration_is_told_key_by_key() {
    let nowhere = Sources { etc: "/nonexistent".into(), variables: vec![], verbs: None };
    let mut out = format!(
        "# Configuration and environment variables\n\n{MADE}What is typed wins over the environment, which wins over files: \
         `~/.config/polder/polder.toml`, then `polder.conf` beside it, the same in `/etc/xdg` and `/etc`, and `lago.conf` in folders `lago`. \
         `polder generate-config` prints all of it with where each value came from; `--verbose` also has the options of verbs, which are keys of \
         sections named like the verb.\n\n## Keys\n\nThe variable of a key is `POLDER_` and its name in capitals; of a key in a section, \
         `POLDER__SECTION__KEY`. `LAGO_` means the same.\n\n| key | if nobody says it | meaning |\n| --- | --- | --- |\n"
    );
    for setting in nowhere.load().all {
        let text = setting.text.map(|text| format!("`{text}`")).unwrap_or_default();
        let _ = writeln!(out, "| `{}` | {text} | {} |", setting.key.name, plain(&setting.key.help));
    }
    out.push_str("\n## Variables that are no keys\n\n| variable | meaning |\n| --- | --- |\n");
    for (name, meaning) in VARIABLES {
        let _ = writeln!(out, "| `{name}` | {} |", plain(meaning));
    }
    out.push_str(
        "| `POLDER_VAR_NAME` | The variable `NAME` of files of changes. |\n\n`polder cvp` reads variables of its own, see \
         [CloudVision portals](../cvp.md).\n",
    );
    made("docs/reference/configuration.md", &out);
}
