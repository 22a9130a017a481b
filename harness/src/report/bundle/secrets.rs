//! What must not leave this host in a bundle: private keys, and values that an init file or the environment calls passwords or
//! tokens, wherever they stand.

use serde_json::Value;

/// What stands where a secret was.
const HIDDEN: &str = "***";
/// Words in names whose values are secret.
const WORDS: [&str; 6] = ["password", "passwd", "passphrase", "secret", "token", "private-key"];
/// Shorter values say nothing, and are parts of everything.
const SHORTEST: usize = 4;
/// How a private key in PEM form begins and ends.
const BEGIN: &str = "-----BEGIN ";
const KEY: &str = "PRIVATE KEY-----";

/// What is hidden, and what stands instead.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// Longer ones first, of which shorter ones may be parts.
    values: Vec<(String, String)>,
}

impl Secrets {
    /// Replaces `what` by `with` from now on.
    pub(super) fn replace(&mut self, what: &str, with: &str) {
        if what.is_empty() || self.values.iter().any(|(known, _)| known == what) {
            return;
        }
        self.values.push((what.to_owned(), with.to_owned()));
        self.values.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    }

    /// Hides a value, as it is and as it stands in JSON and in pages.
    pub(super) fn hide(&mut self, value: &str) {
        let value = value.trim();
        if value.len() < SHORTEST {
            return;
        }
        let json = Value::from(value).to_string();
        let json = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or_default();
        let page = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        for form in [value, json, &page, &page.replace('"', "&quot;")] {
            self.replace(form, HIDDEN);
        }
    }

    /// Hides the value of a variable whose name says that it is secret.
    pub(super) fn hide_variable(&mut self, name: &str, value: &str) {
        if is_secret(name) || name.ends_with("_PASS") {
            self.hide(value);
        }
    }

    /// Hides what a file in YAML or JSON calls secret.
    pub(super) fn hide_in(&mut self, text: &str) {
        match yaml_serde::from_str::<Value>(text) {
            Ok(value) => self.walk(&value),
            // Whatever it is: line by line.
            Err(_) => text.lines().filter_map(|line| line.split_once(':')).for_each(|(name, value)| {
                if is_secret(name) {
                    self.hide(value.trim().trim_matches(['"', '\'']));
                }
            }),
        }
    }

    fn walk(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value {
                        Value::String(text) if is_secret(name) => self.hide(text),
                        Value::Number(number) if is_secret(name) => self.hide(&number.to_string()),
                        other => self.walk(other),
                    }
                }
            }
            // A document in a document, such as what cloud-init is given.
            Value::String(text) if text.contains('\n') => self.hide_in_lines(text),
            _ => {}
        }
    }

    fn hide_in_lines(&mut self, text: &str) {
        for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
            if is_secret(name) {
                self.hide(value.trim().trim_matches(['"', '\'']));
            }
        }
    }

    /// A text without any of it.
    pub(super) fn without(&self, text: &str) -> String {
        let mut text = without_keys(text);
        for (value, instead) in &self.values {
            if text.contains(value.as_str()) {
                text = text.replace(value.as_str(), instead);
            }
        }
        text
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.trim().trim_matches(['"', '\'', '-', ' ']).to_ascii_lowercase().replace('_', "-");
    WORDS.iter().any(|word| name.contains(word))
}

/// A text without private keys; of one that does not end, nothing after its beginning stays.
fn without_keys(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some(begin) = begin_of_key(rest) {
        let (before, key) = rest.split_at(begin);
        kept += before;
        kept += HIDDEN;
        let end = key.get(BEGIN.len()..).and_then(|key| key.find("-----END ")).map(|at| at + BEGIN.len());
        let after = end.and_then(|end| Some(end + key.get(end..)?.find(KEY)? + KEY.len()));
        rest = after.and_then(|after| key.get(after..)).unwrap_or_default();
    }
    kept + rest
}

fn begin_of_key(text: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = text.get(from..)?.find(BEGIN) {
        let begin = from + at;
        let line = text.get(begin..)?.lines().next()?;
        // In JSON, the lines of a text are one.
        if line.split("\\n").next()?.trim_end().ends_with(KEY) {
            return Some(begin);
        }
        from = begin + BEGIN.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_secret_is_hidden_everywhere() {
        let mut secrets = Secrets::default();
        secrets.hide_in(
            "domains:\n  web:\n    root-password: hunter2!\n    ssh_password: \"say \\\"friend\\\"\"\n    memory: 512\n    \
             cloud-init:\n      user-data: |\n        chpasswd: x\n        password: swordfish\nx-token: 123456\n",
        );
        secrets.hide_variable("POLDER_CVP_PASSWORD", "open-sesame");
        secrets.hide_variable("CVP_PASS", "abracadabra");
        secrets.hide_variable("POLDER_CVP_USER", "cvpadmin");
        secrets.hide_variable("POLDER_VAR_password", "abc");
        let text = "hunter2! say \"friend\" say \\\"friend\\\" swordfish 123456 open-sesame abracadabra cvpadmin 512 abc";
        assert_eq!(secrets.without(text), "*** *** *** *** *** *** *** cvpadmin 512 abc");
        // What is no YAML is looked through, too.
        let mut secrets = Secrets::default();
        secrets.hide_in("a: [\npassword: 'hunter3'\n");
        assert_eq!(secrets.without("it is hunter3"), "it is ***");
    }

    #[test]
    fn private_keys_are_hidden_whole() {
        let key = |kind: &str, end: &str| {
            format!("-----BEGIN {kind}PRIVATE KEY-----{end}AAAA{end}-----END {kind}PRIVATE KEY-----")
        };
        let secrets = Secrets::default();
        for kind in ["", "OPENSSH ", "RSA "] {
            for end in ["\n", "\r\n", "\\n"] {
                let text = format!("before {} between {} after", key(kind, end), key(kind, end));
                assert_eq!(secrets.without(&text), "before *** between *** after", "{text}");
            }
        }
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
        assert_eq!(secrets.without(certificate), certificate);
        assert_eq!(secrets.without("a -----BEGIN PRIVATE KEY-----\nAAAA"), "a ***");
        let both = format!("{certificate}\n{}", key("", "\n"));
        assert_eq!(secrets.without(&both), format!("{certificate}\n***"));
    }

    #[test]
    fn longer_ones_are_hidden_before_their_parts() {
        let mut secrets = Secrets::default();
        secrets.hide("friend");
        secrets.hide("friendship");
        secrets.replace("/home/me/run", ".");
        assert_eq!(secrets.without("friendship /home/me/run/a friend"), "*** ./a ***");
    }
}
