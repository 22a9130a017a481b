//! What a driver is told besides its command line: which option goes with which kind of driver, and what it may say. Pure.

use std::collections::BTreeMap;

use super::{model::DriverKind, read::Reader, text::Text};
use crate::initfile::{Fields, Node as Tree, Span, entries, shown, suggest};

use DriverKind::{Cvp, Http, Ssh};

/// An option.
pub(super) struct Choice {
    key: &'static str,
    /// The kinds that it goes with.
    kinds: &'static [DriverKind],
    says: Says,
}

/// What an option says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    /// A text that variables are put into when a session is opened.
    Text,
    /// The same, a port.
    Port,
    /// The name of a file, from the folder of the file of changes.
    File,
    /// The name of an environment variable.
    Variable,
    Flag,
    OneOf(&'static [&'static str]),
}

const fn choice(key: &'static str, kinds: &'static [DriverKind], says: Says) -> Choice {
    Choice { key, kinds, says }
}

const CHOICES: &[Choice] = &[
    choice("user", &[Ssh, Http, Cvp], Says::Text),
    choice("password_env", &[Ssh, Http, Cvp], Says::Variable),
    choice("token_env", &[Http, Cvp], Says::Variable),
    choice("port", &[Ssh], Says::Port),
    choice("key_file", &[Ssh], Says::File),
    choice("known_hosts", &[Ssh], Says::File),
    choice("host_key", &[Ssh], Says::OneOf(&["known", "accept-new", "any"])),
    choice("terminal", &[Ssh], Says::Flag),
    choice("url", &[Http, Cvp], Says::Text),
    choice("method", &[Http], Says::OneOf(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])),
    choice("ca_file", &[Http, Cvp], Says::File),
    choice("insecure", &[Http, Cvp], Says::Flag),
];

/// The code of everything that is wrong with options.
const CODE: &str = "prov.bad-option";

impl Reader<'_, '_, '_> {
    /// The options of a driver whose name is `key`; notes those that its kind does not have, what they may not say, and
    /// those that do not go together. Names of files become whole.
    pub(super) fn options(
        &mut self,
        kind: DriverKind,
        key: &Tree,
        fields: &Fields<'_>,
    ) -> BTreeMap<&'static str, Text> {
        let mut found = BTreeMap::new();
        for choice in CHOICES {
            let (Some(node), Some(option)) = (fields.get(choice.key), fields.key(choice.key)) else {
                continue;
            };
            if !choice.kinds.contains(&kind) {
                self.not_of(kind, &option.span, choice.key, choice.kinds);
                continue;
            }
            let Some(text) = self.text(node) else { continue };
            match choice.says.wrong(choice.key, node.text(), &text) {
                Some((message, help)) => self.problems.add(CODE, &node.span, message, help),
                None if choice.says == Says::File && !node.text().starts_with("~/") => {
                    let path = self.problems.folder(node.span.file).join(node.text());
                    found.insert(choice.key, Text::plain(&path.to_string_lossy()));
                }
                None => {
                    found.insert(choice.key, text);
                }
            }
        }
        for (message, help) in together(kind, fields) {
            self.problems.add(CODE, &key.span, message.to_owned(), Some(help.to_owned()));
        }
        found
    }

    /// What a driver sends with every request.
    pub(super) fn headers(&mut self, kind: DriverKind, fields: &Fields<'_>) -> BTreeMap<String, Text> {
        if let Some(option) = fields.key("headers").filter(|_| kind != Http) {
            self.not_of(kind, &option.span, "headers", &[Http]);
            return BTreeMap::new();
        }
        let mut found = BTreeMap::new();
        for (name, node) in fields.get("headers").map(entries).unwrap_or_default() {
            if name.text().is_empty() || !name.text().bytes().all(is_token) {
                let message = format!("`{}` is no name of a header", shown(name.text()));
                self.problems.add(CODE, &name.span, message, None);
            } else if let Some(text) = self.text(node) {
                found.insert(name.text().to_owned(), text);
            }
        }
        found
    }

    fn not_of(&mut self, kind: DriverKind, span: &Span, option: &str, kinds: &[DriverKind]) {
        let message = format!("a driver of kind `{}` has no option `{option}`", kind.word());
        let kinds: Vec<String> = kinds.iter().map(|kind| format!("`{}`", kind.word())).collect();
        self.problems.add(CODE, span, message, Some(format!("it goes with {}", kinds.join(", "))));
    }
}

/// What is missing or too much: each with what to do about it.
fn together(kind: DriverKind, fields: &Fields<'_>) -> Vec<(&'static str, &'static str)> {
    let has = |key: &str| fields.get(key).is_some();
    let wrong = [
        (
            kind == Http && !has("url"),
            "a driver of kind `http` needs the option `url`",
            "such as `https://%(device.ipaddress)s/api`",
        ),
        (
            kind == Ssh && !has("user") && (has("key_file") || has("password_env")),
            "a key or a password is of no use without the option `user`",
            "say who logs in",
        ),
        (
            kind == Ssh && has("user") && !has("key_file") && !has("password_env"),
            "a user needs a key or a password to log in",
            "say `key_file` or `password_env`",
        ),
        (
            has("token_env") && (has("user") || has("password_env")),
            "a token and a user are two ways to log in",
            "keep one",
        ),
        (
            matches!(kind, Http | Cvp) && has("user") != has("password_env"),
            "`user` and `password_env` go together",
            "say both",
        ),
        (
            has("ca_file") && fields.flag("insecure") == Some(true),
            "a certificate that nobody looks at needs no `ca_file`",
            "drop `insecure`",
        ),
        (
            kind == Cvp && has("url") && !has("user") && !has("token_env"),
            "a portal lets nobody in who does not log in",
            "say `user` and `password_env`, or `token_env`",
        ),
        (
            kind == Cvp && !has("url") && ["user", "token_env", "ca_file", "insecure"].into_iter().any(has),
            "without the option `url` the portal is the one that is configured, with its own login and certificates",
            "say `url`, or drop the other options",
        ),
    ];
    wrong.into_iter().filter(|(is_wrong, ..)| *is_wrong).map(|(_, message, help)| (message, help)).collect()
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl Says {
    /// What is wrong with what an option says, and what to do about it.
    fn wrong(self, key: &str, said: &str, text: &Text) -> Option<(String, Option<String>)> {
        let is_fixed = text.keys().next().is_none();
        match self {
            Self::Text => None,
            Self::Port => {
                let is_port = said.parse::<u16>().is_ok_and(|port| port > 0);
                (is_fixed && !is_port).then(|| (format!("`{}` is no port", shown(said)), None))
            }
            _ if !is_fixed => {
                let help = Some("variables can be in `user`, `port`, `url` and headers".to_owned());
                Some((format!("`{key}` has no variables"), help))
            }
            Self::Flag => {
                let is_flag = matches!(said, "true" | "false");
                (!is_flag).then(|| (format!("`{key}` is `true` or `false`, not `{}`", shown(said)), None))
            }
            Self::OneOf(words) => {
                let help = suggest(said, words).or_else(|| Some(format!("there are {}", words.join(", "))));
                (!words.contains(&said)).then(|| (format!("`{key}` cannot be `{}`", shown(said)), help))
            }
            Self::Variable => {
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let is_one = !said.is_empty() && said.chars().all(is_name);
                let help =
                    Some("secrets come from the environment: name the variable that has it".to_owned());
                (!is_one).then(|| (format!("`{}` is no name of a variable", shown(said)), help))
            }
            Self::File => said.is_empty().then(|| (format!("`{key}` names no file"), None)),
        }
    }
}
