//! Command lines of the book: each is one that the program takes.

use clap::error::ErrorKind;

use super::markdown::{Block, pages, root};

/// Other programs that the book has somebody type.
const OTHERS: &[&str] = &[
    "ansible",
    "apt-get",
    "cat",
    "cd",
    "curl",
    "echo",
    "export",
    "firewall-cmd",
    "git",
    "grep",
    "jq",
    "less",
    "mdbook",
    "mkdir",
    "modprobe",
    "sudo",
    "sysctl",
    "tar",
    "test",
    "usermod",
    "xdg-open",
];

/// The commands of a block, one after another, without what a shell does with their output.
fn commands(block: &Block) -> Vec<Vec<String>> {
    let lines = block.text.replace("\\\n", " ");
    let mut commands = vec![];
    for line in lines.lines() {
        let words =
            shlex::split(line).unwrap_or_else(|| panic!("{}: `{line}` has an open quote", block.place));
        for piece in words.split(|word| ["|", "&&", "||", ";", "&"].contains(&word.as_str())) {
            let mut words: Vec<String> = piece.to_vec();
            if let Some(at) = words.iter().position(|word| word.starts_with(['>', '<']) || word == "2>") {
                words.truncate(at);
            }
            let is_variable = |word: &String| {
                let name = word.split_once('=').map(|(name, _)| name);
                name.is_some_and(|name| {
                    !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
                })
            };
            words.drain(..words.iter().take_while(|word| is_variable(word)).count());
            if !words.is_empty() {
                commands.push(words);
            }
        }
    }
    commands
}

/// Why it is not taken.
fn wrong(words: &[String]) -> Option<String> {
    let parsed = |mut command: clap::Command, words: &[String]| match command.try_get_matches_from_mut(words)
    {
        Err(error) if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Some(error.to_string())
        }
        Ok(matches) => {
            let known = |name: &str| command.get_subcommands().any(|verb| verb.get_name() == name);
            let verb = matches.subcommand_name().filter(|name| !known(name));
            verb.map(|verb| format!("there is no verb `{verb}`"))
        }
        Err(_) => None,
    };
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["polder", ..] => parsed(polder::cli::command(), words),
        ["cargo", "ci", verb, ..] => {
            let name = format!("    {}{}", verb[..1].to_uppercase(), &verb[1..]);
            let text = std::fs::read_to_string(root().join("ci/src/main.rs")).unwrap();
            let known = text
                .lines()
                .any(|line| line.starts_with(&name) && line[name.len()..].starts_with([',', '(']));
            (!known).then(|| format!("`cargo ci` has no verb `{verb}`"))
        }
        ["cargo", "test", ..] => {
            let own = words.iter().position(|word| word == "--").map_or(&[][..], |at| &words[at + 1..]);
            parsed(polder::front::command().no_binary_name(true), own)
        }
        ["cargo", "new" | "install" | "nextest" | "doc", ..] => None,
        [program, ..] if OTHERS.contains(program) => None,
        _ => Some("nobody knows the program".to_owned()),
    }
}

#[test]
fn every_command_line_in_the_book_is_taken() {
    let mut found = vec![];
    let mut lines = 0;
    for page in pages() {
        for block in page.blocks.iter().filter(|block| block.language == "sh") {
            for words in commands(block) {
                lines += 1;
                found.extend(wrong(&words).map(|why| format!("{}: {}: {why}", block.place, words.join(" "))));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(lines > 50, "{lines}");
}

#[test]
fn a_line_that_is_not_taken_is_told() {
    let told = |line: &str| {
        let page = super::markdown::read("p.md", &format!("```sh\n{line}\n```\n"));
        commands(&page.blocks[0]).iter().find_map(|words| wrong(words))
    };
    for right in [
        "polder up hello.yaml   # all of it",
        "POLDER_KEEP=failed cargo test -- --tag slow --shard 1/3",
        "polder exec web -- tar -c /etc >etc.tar && less etc.tar",
        "cargo ci demo",
        "polder snapshot --help",
    ] {
        assert_eq!(told(right), None, "{right}");
    }
    for wrong in [
        "polder frobnicate",
        "polder up --frobnicate",
        "polder images",
        "cat x | polder snapshot",
        "cargo ci frob",
        "cargo test -- --shard 4",
        "frobnicate",
    ] {
        assert!(told(wrong).is_some(), "{wrong}");
    }
}
