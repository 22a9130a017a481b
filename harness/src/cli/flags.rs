//! Between the command line and the configuration: which options are keys of it, and which values of it are defaults of
//! options.

use clap::{
    ArgAction, ArgMatches, Command,
    error::{ContextKind, ContextValue},
    parser::ValueSource,
};

use crate::config::{Config, Entry, Key, Origin, Problem, Settings};

/// Options, by the identifier clap knows them by, that are keys of the root section, by their names there.
const ROOT: &[(&str, &str)] = &[
    ("loglevel", "loglevel"),
    ("logdepth", "logdepth"),
    ("out_format", "out_format"),
    ("prefix_path", "prefix_path"),
    ("workdir_path", "workdir_path"),
    ("prefix_name", "prefix_name"),
    ("ssh_user", "ssh_user"),
    ("ssh_password", "ssh_password"),
    ("ssh_tries", "ssh_tries"),
    ("ssh_timeout", "ssh_timeout"),
    ("libvirt_url", "libvirt_url"),
    ("libvirt_user", "libvirt_username"),
    ("libvirt_password", "libvirt_password"),
    ("default_vm_type", "default_vm_type"),
    ("default_vm_provider", "default_vm_provider"),
    ("default_root_password", "root_password"),
    ("lease_dir", "lease_dir"),
    ("template_repo_path", "template_repo_path"),
    ("template_repo_name", "template_repo_name"),
    ("template_repos", "template_repos"),
    ("template_store", "template_store"),
    ("repo_port", "repo_port"),
];

/// What was typed of the root section's keys.
pub(super) fn entries(matches: &ArgMatches) -> Vec<Entry> {
    // Options that all verbs have are where they were typed: before the verb, after it, or after a verb of its own.
    let levels: Vec<&ArgMatches> =
        std::iter::successors(Some(matches), |level| level.subcommand().map(|(_, below)| below)).collect();
    let typed = |id: &str| {
        levels.iter().rev().find_map(|level| {
            let raw = level.try_get_raw(id).ok().flatten()?.next()?;
            let typed = level.value_source(id) == Some(ValueSource::CommandLine);
            typed.then(|| raw.to_string_lossy().into_owned())
        })
    };
    let entry = |(id, name): &(&str, &str)| {
        let text = typed(id)?;
        let origin = Origin::Flag(id.replace('_', "-"));
        // A folder given here means one seen from where we stand.
        let is_folder = matches!(*name, "lease_dir" | "template_repos" | "template_store");
        let text = if is_folder {
            std::path::absolute(&text).map_or(text, |p| p.display().to_string())
        } else {
            text
        };
        Some(Entry { section: String::new(), name: (*name).into(), text, origin })
    };
    ROOT.iter().filter_map(entry).collect()
}

/// Whether a key of the root section was typed, and not only configured.
pub(super) fn is_typed(config: &Config, name: &str) -> bool {
    config.settings.get("", name).is_some_and(|setting| matches!(setting.origin, Origin::Flag(_)))
}

/// Options of verbs, which are keys of the section of that name.
pub(super) fn keys(command: &Command) -> Vec<Key> {
    let mut keys = vec![];
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        for arg in verb.get_arguments().filter(|arg| !arg.is_hide_set() && !is_root(arg.get_id().as_str())) {
            let Some(long) = arg.get_long().filter(|long| !matches!(*long, "help" | "version")) else {
                continue;
            };
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let defaults = arg.get_default_values().iter().map(|value| value.to_string_lossy());
            let default = Some(defaults.collect::<Vec<_>>().join(" "))
                .filter(|text| arg.get_action().takes_values() && !text.is_empty());
            keys.push(Key { section: plain(verb.get_name()), name: plain(long), help, default });
        }
    }
    keys
}

/// The command with what is configured for verbs as the defaults of their options.
pub(super) fn with_defaults(mut command: Command, settings: &Settings) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    for name in names {
        let section = plain(&name);
        command = command.mut_subcommand(&name, |verb| {
            verb.mut_args(|arg| {
                let key = arg.get_long().filter(|_| !is_root(arg.get_id().as_str())).map(plain);
                let setting = key.and_then(|key| settings.get(&section, &key));
                let Some(text) = setting.and_then(|setting| setting.text.clone()) else {
                    return arg;
                };
                let arg = arg.required(false);
                if matches!(arg.get_action(), ArgAction::Append) {
                    arg.default_values(text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
                } else {
                    arg.default_value(text)
                }
            })
        });
    }
    command
}

/// What is wrong with the configuration, when that is what the command line could not be parsed for.
pub(super) fn culprit(error: &clap::Error, settings: &Settings) -> Option<Problem> {
    let text = |kind| match error.get(kind)? {
        ContextValue::String(text) => Some(text.as_str()),
        _ => None,
    };
    let (arg, value) = (text(ContextKind::InvalidArg)?, text(ContextKind::InvalidValue)?);
    let option = plain(arg.split_whitespace().next()?.strip_prefix("--")?);
    let setting = settings.all.iter().find(|setting| {
        let said = setting
            .text
            .as_deref()
            .is_some_and(|text| text == value || text.split_whitespace().any(|word| word == value));
        let configured = matches!(setting.origin, Origin::File { .. } | Origin::Variable(_));
        setting.key.name == option && !setting.key.section.is_empty() && said && configured
    })?;
    let why = std::error::Error::source(error).map(|why| format!(": {why}")).unwrap_or_default();
    let message = format!("`{option}` of `{}` cannot be `{value}`{why}", setting.key.section);
    Some(Problem { origin: setting.origin.clone(), message, help: None })
}

fn is_root(id: &str) -> bool {
    ROOT.iter().any(|(known, _)| *known == id) || matches!(id, "quiet" | "ignore_warnings" | "reposync_dir")
}

fn plain(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};

    use super::*;
    use crate::{
        cli::args::{Args, Verb},
        config::Sources,
    };

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let variables = variables.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
        Sources { etc: "/nonexistent".into(), variables, verbs: Some(keys(&Args::command())) }.load()
    }

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_root_flag_is_an_option_and_a_key() {
        let settings = settings(&[]);
        let command = Args::command();
        let verbs = ["init", "serve"].map(|verb| command.find_subcommand(verb).unwrap());
        for (id, name) in ROOT {
            let known = |c: &Command| c.get_arguments().any(|arg| arg.get_id() == id);
            assert!(known(&command) || verbs.iter().any(|verb| known(verb)), "no option {id}");
            assert!(settings.get("", name).is_some(), "no key {name}");
        }
    }

    #[test]
    fn flags_win_over_what_is_configured() {
        let settings = settings(&[("LAGO_SSH_USER", "me"), ("LAGO_LOGDEPTH", "5")]);
        let line = ["polder", "--logdepth", "-1", "status", "-f", "json", "--default-root-password", "x"];
        let matches = Args::command().try_get_matches_from(line).unwrap();
        let config = Config::new(settings, entries(&matches)).unwrap();
        assert_eq!(
            (config.logdepth, config.out_format.as_str(), config.ssh_user.as_str()),
            (None, "json", "me")
        );
        assert_eq!(config.root_password.as_deref(), Some("x"));
        assert!(is_typed(&config, "out_format") && !is_typed(&config, "ssh_user"));
        let origin = &config.settings.get("", "root_password").unwrap().origin;
        assert_eq!(origin.to_string(), "--default-root-password");
    }

    #[test]
    fn options_of_verbs_can_be_configured() {
        let settings = settings(&[
            ("POLDER__SHUTDOWN__TIMEOUT", "7"),
            ("LAGO__SHUTDOWN__REBOOT", "true"),
            ("LAGO__ANSIBLE_HOSTS__KEYS", "a b"),
        ]);
        let parse = |line: &[&str]| {
            let command = with_defaults(Args::command(), &settings);
            Args::from_arg_matches(&command.try_get_matches_from(line).unwrap()).unwrap().verb
        };
        let Verb::Shutdown(shutdown) = parse(&["polder", "shutdown"]) else { panic!() };
        assert!(shutdown.reboot && shutdown.timeout == Some(7));
        let Verb::Shutdown(shutdown) = parse(&["polder", "shutdown", "--timeout", "8"]) else { panic!() };
        assert_eq!(shutdown.timeout, Some(8));
        let Verb::AnsibleHosts(hosts) = parse(&["polder", "ansible_hosts"]) else { panic!() };
        assert_eq!(hosts.keys, ["a", "b"]);
    }

    #[test]
    fn a_bad_value_is_told_with_where_it_is_configured() {
        let settings = settings(&[("POLDER__SHUTDOWN__TIMEOUT", "soon")]);
        let parse = |line: &[&str]| {
            let command = with_defaults(Args::command(), &settings);
            command.try_get_matches_from(line).map(|_| ()).map_err(|error| culprit(&error, &settings))
        };
        let problem = parse(&["polder", "shutdown"]).unwrap_err().unwrap().to_string();
        let start = "$POLDER__SHUTDOWN__TIMEOUT: `timeout` of `shutdown` cannot be `soon`";
        assert!(problem.starts_with(start), "{problem}");
        assert_eq!(
            parse(&["polder", "shutdown", "--timeout", "x"]).unwrap_err(),
            None,
            "typed, not configured"
        );
        parse(&["polder", "status"]).unwrap();
    }

    #[test]
    fn what_holds_when_nothing_is_configured_is_shown() {
        let get = |settings: &Settings| settings.get("export", "dst_dir").unwrap().text.clone();
        assert_eq!(get(&settings(&[])).as_deref(), Some("."));
        assert_eq!(get(&settings(&[("LAGO__EXPORT__DST_DIR", "/x")])).as_deref(), Some("/x"));
        assert_eq!(settings(&[]).get("shutdown", "reboot").unwrap().text, None);
    }

    #[test]
    fn lagos_spellings_and_abbreviations_are_understood() {
        let parse = |line: &[&str]| Args::command().try_get_matches_from(line).map(|_| ());
        for line in [
            &["polder", "--workdir", "/w", "--prefix-n", "a", "status"][..],
            &["polder", "--default_vm_type", "default", "--libvirt_url", "qemu:///system", "start"],
            &["polder", "--libvirt-user", "ada", "destroy", "-y", "--all"],
            &["polder", "-l", "debug", "-f", "flat", "status"],
            &["polder", "-l", "debug", "snapshot", "-l"],
            &["polder", "export", "-n", "a", "b", "-s", "-c", "-d", "out", "--without-threads"],
            &["polder", "shutdown", "-r", "a", "b"],
            &["polder", "shell", "vm", "-c", "ls -l"],
            &["polder", "ansible_hosts", "-k", "a", "b"],
        ] {
            parse(line).unwrap();
        }
        assert!(parse(&["polder", "snapshot"]).is_err());
    }
}
