//! Environment variables that are configuration: `POLDER_KEY` and `POLDER__SECTION__KEY`, and Lago's. Pure.

use super::{Entry, Origin, Problem};

/// Variables with our beginnings that are not configuration, and what they do.
pub const VARIABLES: &[(&str, &str)] = &[
    ("LAGO_INITFILE_PATH", "As `POLDER_INITFILE_PATH`."),
    (
        "POLDER_CVP_CA_FILE",
        "Which authorities vouch for the portal, as a PEM file, if not those this host trusts.",
    ),
    ("POLDER_CVP_INSECURE", "`1`: any certificate of the portal is good."),
    ("POLDER_CVP_PASSWORD", "The password at the portal."),
    ("POLDER_CVP_PIN", "The SHA-256 of the portal's certificate, instead of authorities."),
    ("POLDER_CVP_TOKEN", "The token of a service account, instead of user and password."),
    (
        "POLDER_CVP_URL",
        "The portal that suites with `cvp` use: `https://HOST:PORT`, several nodes of one with commas between them.",
    ),
    ("POLDER_CVP_USER", "The user at the portal."),
    ("POLDER_DEMO_FAIL", "Has the demo run its suite that fails on purpose."),
    (
        "POLDER_INITFILE_PATH",
        "In paths of an init file, and in its build steps: the folder of the init file.",
    ),
    (
        "POLDER_KEEP",
        "`failed` or `always`: machines stay when their suite has ended; `state`: the state in which something failed does; else `never`.",
    ),
    ("POLDER_LAUNCHER", "Another binary for a lab's own processes, on hosts whose policy goes by path."),
    ("POLDER_NEEDS", "`strict`: a scenario for which something is lacking has failed; else it is not run."),
    ("POLDER_OUTPUT_DIR", "Where runs leave their folders; else `target/polder`."),
    ("POLDER_PAUSE", "`failed`: a suite stands still at a failure, until somebody has looked."),
    ("POLDER_SEED", "A number from which everything that is left to chance in a run is chosen."),
    ("POLDER_SOAK_ROUNDS", "How long the long campaigns of Polder's own tests are."),
    ("POLDER_SOAK_SEED", "The chance in them."),
    ("POLDER_TEST_PREBUILT", "Polder's own tests: what they need is built already."),
];

/// Beginning of names whose values are for files of changes.
const OF_CHANGES: &str = "POLDER_VAR_";

/// Lago's way around guests that ask for an address before anybody answers; no key of its configuration.
const WAIT_SUSPEND: &str = "_START__WAIT_SUSPEND";

/// What the variables say: Lago's first, ours over them, each in the order of names; and warnings about those that
/// cannot be understood.
pub(super) fn parse(variables: &[(String, String)]) -> (Vec<Entry>, Vec<Problem>) {
    let mut entries = vec![];
    let mut warnings = vec![];
    let mut sorted: Vec<_> = variables.iter().collect();
    sorted.sort();
    for root in ["LAGO_", "POLDER_"] {
        for (name, value) in &sorted {
            let is_other = VARIABLES.iter().any(|(known, _)| known == name) || name.starts_with(OF_CHANGES);
            let Some(rest) = name.strip_prefix(root).filter(|_| !is_other) else { continue };
            let origin = Origin::Variable(name.clone());
            let mut warn = |message: &str| {
                warnings.push(Problem { origin: origin.clone(), message: message.into(), help: None });
            };
            if rest == WAIT_SUSPEND {
                warn("is not needed and has no effect: machines are started once DHCP and DNS answer them");
                continue;
            }
            match key(rest) {
                // What is exported to children is empty when there is no workdir.
                Some(_) if value.is_empty() && rest.ends_with("_PATH") => {}
                Some(_) if value.is_empty() => warn("an empty variable is ignored"),
                Some((section, key)) => {
                    entries.push(Entry { section, name: key, text: value.clone(), origin });
                }
                None => warn("a variable that is neither ROOT_KEY nor ROOT__SECTION__KEY is ignored"),
            }
        }
    }
    (entries, warnings)
}

/// Section and key of a variable's name without its root word and the `_` after it. A section may have single `_` in
/// it; it ends at the first double one.
fn key(rest: &str) -> Option<(String, String)> {
    let (section, key) = match rest.strip_prefix('_') {
        Some(rest) => rest.split_once("__").filter(|(section, _)| !section.is_empty())?,
        None => ("", rest),
    };
    (!key.is_empty()).then(|| (section.to_lowercase(), key.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("LAGO_SSH_USER", Some(("", "ssh_user")))]
    #[case("POLDER__EXPORT__DST_DIR", Some(("export", "dst_dir")))]
    #[case("LAGO__ANSIBLE_HOSTS__KEYS", Some(("ansible_hosts", "keys")))]
    #[case("LAGO__A__B__C", Some(("a", "b__c")))]
    #[case("LAGO_", None)]
    #[case("LAGO__ONLYSECTION", None)]
    #[case("LAGO____KEY", None)]
    #[case("LAGO__A__", None)]
    fn names_are_taken_apart(#[case] name: &str, #[case] expected: Option<(&str, &str)>) {
        let (entries, warnings) = parse(&[(name.into(), "x".into())]);
        let found = entries.first().map(|e| (e.section.as_str(), e.name.as_str()));
        assert_eq!((found, warnings.len()), (expected, usize::from(expected.is_none())));
    }

    #[test]
    fn ours_win_and_empty_ones_are_told() {
        let variables = [
            ("POLDER_LAB", "a"),
            ("LAGO_LAB", "b"),
            ("LAGO_LOGDEPTH", ""),
            ("PATH", "/bin"),
            ("POLDER_OUTPUT_DIR", "x"),
            ("POLDER_VAR_mtu", "9000"),
            ("LAGO__START__WAIT_SUSPEND", "5"),
        ];
        let variables = variables.map(|(n, v)| (n.to_owned(), v.to_owned()));
        let (entries, warnings) = parse(&variables);
        assert_eq!(entries.iter().map(|e| e.text.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(warnings[0].to_string(), "$LAGO_LOGDEPTH: an empty variable is ignored");
        let suspend = warnings[1].to_string();
        assert!(suspend.starts_with("$LAGO__START__WAIT_SUSPEND: is not needed"), "{suspend}");
    }
}
