//! Which portal `polder cvp` talks to, and as whom: from options and the environment, whatever is wrong with them told at
//! once and before anybody is asked.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::{context::Cx, cvp_args::Reach, exit::BadInput};
use crate::cvp::{Client, CvpSpec, Login, Node, Trust, jobs};

/// The environment: the value of a variable, if it has one that is not empty.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's own.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// How to get to a portal; the password may have to be asked for still.
#[derive(Debug)]
pub(super) struct Access {
    nodes: Vec<Node>,
    trust: Trust,
    login: Who,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Known(Login),
    /// A user whose password is asked for.
    Ask(String),
}

/// What is wrong, as one error.
pub(super) fn refuse(problems: Vec<String>) -> Result<(), BadInput> {
    match problems.len() {
        0 => Ok(()),
        _ => Err(BadInput(problems.join("\n"))),
    }
}

/// What was said, with the name of where it was said.
fn said(option: Option<&str>, name: &str, variable: &str, env: Env<'_>) -> Option<(String, String)> {
    let typed = option.map(|text| (text.to_owned(), name.to_owned()));
    typed.or_else(|| Some((env(variable)?, format!("${variable}"))))
}

impl Access {
    /// As options and the environment say it. `first_line` reads what a file holds.
    pub(super) fn of(
        reach: &Reach,
        env: Env<'_>,
        first_line: &dyn Fn(&Path) -> io::Result<String>,
        problems: &mut Vec<String>,
    ) -> Option<Self> {
        let before = problems.len();
        let nodes = nodes(reach, env, problems);
        let trust = trust(reach, env, problems);
        let login = login(reach, env, first_line, problems);
        let login = login.filter(|_| problems.len() == before)?;
        Some(Self { nodes, trust, login })
    }

    /// A client; a password that was not said is asked for.
    pub(super) async fn client(self, cx: &Cx) -> anyhow::Result<Client> {
        let first = self.nodes.first().map(ToString::to_string).unwrap_or_default();
        let login = match self.login {
            Who::Known(login) => login,
            Who::Ask(user) => {
                let password =
                    cx.unless_stopped(ask_password(format!("password of {user} at {first}: "))).await?;
                Login::Password { user, password }
            }
        };
        if self.trust == Trust::Insecure {
            cx.warn(&format!(
                "the certificate of {first} is not checked: somebody in between can read all of it"
            ));
        }
        let mut nodes = self.nodes.into_iter();
        let Some(node) = nodes.next() else { return Err(BadInput("no portal".to_owned()).into()) };
        let mut spec = CvpSpec::new(node, login);
        spec.nodes.extend(nodes);
        spec.trust = self.trust;
        Ok(Client::new(spec, None)?)
    }
}

fn nodes(reach: &Reach, env: Env<'_>, problems: &mut Vec<String>) -> Vec<Node> {
    let before = problems.len();
    let port = said(reach.port.as_deref(), "--port", "CVP_PORT", env);
    let port = port.and_then(|(text, from)| match text.parse::<u16>() {
        Ok(port) if port > 0 => Some(port),
        _ => {
            problems.push(format!("{from}: `{text}` is no port; write a number from 1 to 65535"));
            None
        }
    });
    let proto = said(reach.proto.as_deref(), "--proto", "CVP_PROTO", env);
    let proto = proto.and_then(|(text, from)| match text.to_ascii_lowercase().as_str() {
        proto @ ("https" | "http") => Some(proto.to_owned()),
        _ => {
            problems.push(format!("{from}: `{text}` is no way to a portal; write `https`, or `http`"));
            None
        }
    });
    let (hosts, from) = match env("CVP_HOST").filter(|_| reach.host.is_empty()) {
        Some(text) => (text.split([',', ' ']).map(str::to_owned).collect(), "$CVP_HOST"),
        None => (reach.host.clone(), "--host"),
    };
    let hosts: Vec<&String> = hosts.iter().filter(|host| !host.trim().is_empty()).collect();
    if hosts.is_empty() {
        problems.push("which portal? say --host, or set CVP_HOST".to_owned());
    }
    if problems.len() > before {
        return Vec::new();
    }
    let mut nodes = Vec::new();
    for host in hosts {
        match node(host.trim(), proto.as_deref(), port) {
            Ok(node) => nodes.push(node),
            Err(why) => problems.push(format!("{from}: {why}")),
        }
    }
    nodes
}

/// A node of what its host, its way and its port are said to be; a host may say all three.
fn node(host: &str, proto: Option<&str>, port: Option<u16>) -> Result<Node, String> {
    let (own_proto, rest) = match host.split_once("://") {
        Some((own, rest)) => (Some(own), rest.trim_end_matches('/')),
        None => (None, host),
    };
    let is_bare_v6 = rest.parse::<std::net::Ipv6Addr>().is_ok();
    let rest = if is_bare_v6 { format!("[{rest}]") } else { rest.to_owned() };
    let own_port = rest.rsplit_once(':').map(|(_, port)| port).filter(|port| port.parse::<u16>().is_ok());
    if let (Some(own), Some(said)) = (own_proto, proto)
        && !own.eq_ignore_ascii_case(said)
    {
        return Err(format!("`{host}` contradicts the protocol {said}"));
    }
    if let (Some(own), Some(said)) = (own_port, port)
        && own != said.to_string()
    {
        return Err(format!("`{host}` contradicts the port {said}"));
    }
    let port = port.filter(|_| own_port.is_none()).map(|port| format!(":{port}")).unwrap_or_default();
    let proto = own_proto.or(proto).unwrap_or("https");
    Node::parse(&format!("{proto}://{rest}{port}")).map_err(|error| error.to_string())
}

fn trust(reach: &Reach, env: Env<'_>, problems: &mut Vec<String>) -> Trust {
    if reach.insecure {
        return Trust::Insecure;
    }
    if let Some(pin) = &reach.pin {
        return Trust::pin(pin).unwrap_or_else(|| {
            problems.push(format!("--pin: `{pin}` is no SHA-256; write 64 hexadecimal digits"));
            Trust::System
        });
    }
    if let Some(path) = &reach.ca_file {
        return Trust::CaFile(path.clone());
    }
    let ca_file = env("CVP_CA_FILE");
    let checked = match env("CERT_VALIDATION").map(|text| (text.to_ascii_lowercase(), text)) {
        None => None,
        Some((word, text)) => match word.as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => {
                problems.push(format!("$CERT_VALIDATION: `{text}` is neither true nor false"));
                None
            }
        },
    };
    match (checked, ca_file) {
        (Some(false), Some(_)) => {
            problems
                .push("$CERT_VALIDATION turns off what $CVP_CA_FILE is for; unset one of them".to_owned());
            Trust::System
        }
        (Some(false), None) => Trust::Insecure,
        (_, Some(path)) => Trust::CaFile(path.into()),
        (_, None) => Trust::System,
    }
}

fn login(
    reach: &Reach,
    env: Env<'_>,
    first_line: &dyn Fn(&Path) -> io::Result<String>,
    problems: &mut Vec<String>,
) -> Option<Who> {
    let read = |path: &Path, option: &str, problems: &mut Vec<String>| match first_line(path) {
        Ok(line) if !line.is_empty() => Some(line),
        Ok(_) => {
            problems.push(format!("{option}: the first line of {} is empty", path.display()));
            None
        }
        Err(error) => {
            problems.push(format!("{option}: cannot read {}: {error}", path.display()));
            None
        }
    };
    let visible = [("password", "CVP_PASS", &reach.password), ("token", "CVP_TOKEN", &reach.token)];
    if let Some((option, variable, _)) = visible.into_iter().find(|(.., said)| said.is_some()) {
        let why = "everybody on this host would see it in the list of processes";
        problems.push(format!("--{option} is not taken: {why}; say --{option}-file, or set {variable}"));
        return None;
    }
    if let Some(path) = &reach.token_file {
        return Some(Who::Known(Login::Token(read(path, "--token-file", problems)?)));
    }
    // Who is named on the command line is not to be somebody else because of a variable.
    let is_typed = reach.user.is_some() || reach.password_file.is_some();
    if let Some(token) = env("CVP_TOKEN").filter(|_| !is_typed) {
        return Some(Who::Known(Login::Token(token)));
    }
    let password = match &reach.password_file {
        Some(path) => Some(read(path, "--password-file", problems)?),
        None => env("CVP_PASS"),
    };
    let Some(user) = reach.user.clone().or_else(|| env("CVP_USER")) else {
        problems.push("as whom? say --user or --token-file, or set CVP_USER or CVP_TOKEN".to_owned());
        return None;
    };
    Some(match password {
        Some(password) => Who::Known(Login::Password { user, password }),
        None => Who::Ask(user),
    })
}

/// The first line of a file, or of standard input.
pub(super) fn first_line(path: &Path) -> io::Result<String> {
    let text = if path == Path::new("-") {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        line
    } else {
        std::fs::read_to_string(path)?
    };
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// The terminal as it was, when this goes.
struct Quiet(Termios);

impl Quiet {
    fn enter() -> io::Result<Self> {
        let was = tcgetattr(io::stdin())?;
        let mut quiet = was.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(was))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        eprintln!();
    }
}

/// Asks for a password, which is not shown.
async fn ask_password(prompt: String) -> anyhow::Result<String> {
    if !io::stdin().is_terminal() {
        let what =
            "there is no password, and no terminal to ask for it; say --password-file, or set CVP_PASS";
        return Err(BadInput(what.to_owned()).into());
    }
    let _quiet = Quiet::enter()?;
    eprint!("{prompt}");
    io::stderr().flush()?;
    // Reading cannot be interrupted; who stops us does not wait for it.
    let line = tokio::task::spawn_blocking(|| first_line(Path::new("-"))).await??;
    if line.is_empty() {
        return Err(BadInput("the password is empty".to_owned()).into());
    }
    Ok(line)
}

/// What holds for jobs that do not say it.
pub(super) fn defaults(
    zone: Option<&str>,
    country: Option<&str>,
    env: Env<'_>,
    problems: &mut Vec<String>,
) -> jobs::Defaults {
    let zone = said(zone, "--timezone", "CVP_TZ", env);
    let zone = zone.and_then(|(text, from)| match jobs::zone(&text) {
        Ok(zone) => Some(zone),
        Err(why) => {
            problems.push(format!("{from}: {why}"));
            None
        }
    });
    let country = country.map(str::to_owned).or_else(|| env("CVP_COUNTRY")).or_else(|| env("TZ_COUNTRY"));
    jobs::Defaults { time_zone: zone, country: country.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    /// What comes of options and variables; else everything that is said.
    fn access(options: &[&str], variables: &[(&str, &str)]) -> Result<Access, Vec<String>> {
        let command = Reach::augment_args(Command::new("x").no_binary_name(true));
        let matches = command.try_get_matches_from(options).unwrap();
        let reach = Reach::from_arg_matches(&matches).unwrap();
        let env =
            |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        let read = |path: &Path| match path.to_str() {
            Some("secret") => Ok("from a file".to_owned()),
            Some("empty") => Ok(String::new()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        let mut problems = Vec::new();
        let access = Access::of(&reach, &env, &read, &mut problems);
        access.filter(|_| problems.is_empty()).ok_or(problems)
    }

    const ME: [(&str, &str); 2] = [("CVP_USER", "me"), ("CVP_PASS", "p")];

    #[rstest::rstest]
    #[case(&["--host", "cvp1"], &[], "Node(cvp1)")]
    #[case(&["--host", "cvp1,cvp2", "--port", "8443"], &[("CVP_PORT", "nonsense")], "Node(cvp1:8443) Node(cvp2:8443)")]
    #[case(&[], &[("CVP_HOST", "cvp1, cvp2:444"), ("CVP_PORT", "444")], "Node(cvp1:444) Node(cvp2:444)")]
    #[case(&[], &[("CVP_HOST", "http://127.0.0.1:8080/"), ("CVP_PROTO", "HTTP")], "Node(127.0.0.1:8080)")]
    #[case(&[], &[("CVP_HOST", "::1"), ("CVP_PORT", "8443")], "Node([::1]:8443)")]
    #[case(&["--host", "other"], &[("CVP_HOST", "not me")], "Node(other)")]
    fn portals_are_named(
        #[case] options: &[&str],
        #[case] variables: &[(&str, &str)],
        #[case] expected: &str,
    ) {
        let access = access(options, &[&ME, variables].concat()).unwrap();
        let nodes: Vec<String> = access.nodes.iter().map(|node| format!("{node:?}")).collect();
        assert_eq!(nodes.join(" "), expected);
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let wrong = [("CVP_PORT", "70000"), ("CVP_PROTO", "ftp"), ("CERT_VALIDATION", "maybe")];
        assert_eq!(
            access(&[], &wrong).unwrap_err(),
            [
                "$CVP_PORT: `70000` is no port; write a number from 1 to 65535",
                "$CVP_PROTO: `ftp` is no way to a portal; write `https`, or `http`",
                "which portal? say --host, or set CVP_HOST",
                "$CERT_VALIDATION: `maybe` is neither true nor false",
                "as whom? say --user or --token-file, or set CVP_USER or CVP_TOKEN",
            ]
        );
    }

    #[rstest::rstest]
    #[case(&["--host", "http://x", "--proto", "https"], &[], "--host: `http://x` contradicts the protocol https")]
    #[case(&[], &[("CVP_HOST", "x:1"), ("CVP_PORT", "2")], "$CVP_HOST: `x:1` contradicts the port 2")]
    #[case(&["--host", "x/y"], &[], "--host: `https://x/y` does not name a portal: there is more in it than a host and a port; write `https://HOST:PORT`, or the host alone")]
    #[case(&["--host", "x", "--pin", "12"], &[], "--pin: `12` is no SHA-256; write 64 hexadecimal digits")]
    #[case(&["--host", "x", "--token-file", "gone"], &[], "--token-file: cannot read gone: entity not found")]
    #[case(&["--host", "x", "--password-file", "empty"], &[], "--password-file: the first line of empty is empty")]
    #[case(&["--host", "x"], &[("CERT_VALIDATION", "false"), ("CVP_CA_FILE", "f")], "$CERT_VALIDATION turns off what $CVP_CA_FILE is for; unset one of them")]
    fn what_is_wrong_is_said_with_where(
        #[case] options: &[&str],
        #[case] variables: &[(&str, &str)],
        #[case] words: &str,
    ) {
        assert_eq!(access(options, &[&ME, variables].concat()).unwrap_err(), [words]);
    }

    fn password(user: &str, password: &str) -> Who {
        Who::Known(Login::Password { user: user.to_owned(), password: password.to_owned() })
    }

    #[rstest::rstest]
    #[case(&[], &ME, password("me", "p"))]
    #[case(&[], &[("CVP_USER", "me")], Who::Ask("me".to_owned()))]
    #[case(&["--user", "you"], &ME, password("you", "p"))]
    #[case(&["--password-file", "secret"], &ME, password("me", "from a file"))]
    #[case(&[], &[("CVP_USER", "me"), ("CVP_PASS", "p"), ("CVP_TOKEN", "t")], Who::Known(Login::Token("t".to_owned())))]
    #[case(&["--user", "you"], &[("CVP_PASS", "p"), ("CVP_TOKEN", "t")], password("you", "p"))]
    #[case(&["--token-file", "secret"], &ME, Who::Known(Login::Token("from a file".to_owned())))]
    fn options_win(#[case] options: &[&str], #[case] variables: &[(&str, &str)], #[case] expected: Who) {
        let access = access(&[&["--host", "x"], options].concat(), variables).unwrap();
        assert_eq!(access.login, expected);
        assert!(!format!("{access:?}").contains("from a file"), "{access:?}");
    }

    #[rstest::rstest]
    #[case(&[], &[], Trust::System)]
    #[case(&[], &[("CERT_VALIDATION", "True")], Trust::System)]
    #[case(&[], &[("CERT_VALIDATION", "False")], Trust::Insecure)]
    #[case(&["--ca-file", "mine"], &[("CERT_VALIDATION", "false"), ("CVP_CA_FILE", "f")], Trust::CaFile("mine".into()))]
    #[case(&[], &[("CVP_CA_FILE", "f"), ("CERT_VALIDATION", "1")], Trust::CaFile("f".into()))]
    #[case(&["--insecure"], &[("CVP_CA_FILE", "f")], Trust::Insecure)]
    fn certificates_are_checked_unless_told_otherwise(
        #[case] options: &[&str],
        #[case] variables: &[(&str, &str)],
        #[case] expected: Trust,
    ) {
        let access = access(&[&["--host", "x"], options].concat(), &[&ME, variables].concat()).unwrap();
        assert_eq!(access.trust, expected);
    }

    #[test]
    fn zones_are_checked_before_anything_begins() {
        let mut problems = Vec::new();
        let defaults =
            defaults(None, None, &|name| (name != "CVP_COUNTRY").then(|| "France".to_owned()), &mut problems);
        assert_eq!((defaults.time_zone, defaults.country.as_str()), (None, "France"));
        assert!(
            matches!(problems.as_slice(), [one] if one.starts_with("$CVP_TZ: there is no time zone `France`")),
            "{problems:?}"
        );
    }
}
