//! Which portal suites and `polder gc` use, as the environment says it: `POLDER_CVP_URL` and what stands beside it. Nobody
//! else's variables count, so that none ever leads a suite to a portal it was not meant for.

use std::path::PathBuf;

use super::{
    spec::{CvpSpec, Limits, Login, Node, Trust},
    tls,
};
use crate::base::text::chain;

/// Addresses of the portal's nodes, separated by commas.
const URL: &str = "POLDER_CVP_URL";
const USER: &str = "POLDER_CVP_USER";
const PASSWORD: &str = "POLDER_CVP_PASSWORD";
const TOKEN: &str = "POLDER_CVP_TOKEN";
/// Certificates of authorities, in PEM form.
const CA_FILE: &str = "POLDER_CVP_CA_FILE";
/// The SHA-256 of the portal's certificate.
const PIN: &str = "POLDER_CVP_PIN";
/// `1`: any certificate is good.
const INSECURE: &str = "POLDER_CVP_INSECURE";

/// Variables that name no portal and no way to log in there; all that is wrong with them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct BadVariables(pub Vec<String>);

impl CvpSpec {
    /// The portal that the environment variables name; none where `POLDER_CVP_URL` is not set. Empty ones are not set.
    ///
    /// `POLDER_CVP_URL` has its address, or those of its nodes with commas between them; who we are is in
    /// `POLDER_CVP_USER` and `POLDER_CVP_PASSWORD`, or in `POLDER_CVP_TOKEN`; which certificates are good, other than
    /// those this host trusts, in one of `POLDER_CVP_CA_FILE`, `POLDER_CVP_PIN` and `POLDER_CVP_INSECURE=1`.
    ///
    /// # Errors
    /// Everything that is wrong with them, the file of certificates included.
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, BadVariables> {
        let get = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let mut problems = Vec::new();
        let nodes = nodes(get(URL), &mut problems);
        let login = login([get(USER), get(PASSWORD), get(TOKEN)], nodes.is_some(), &mut problems);
        let trust = trust([get(CA_FILE), get(PIN), get(INSECURE)], &mut problems);
        if nodes.is_none() && problems.is_empty() {
            let beside = [USER, PASSWORD, TOKEN, CA_FILE, PIN, INSECURE];
            let set: Vec<&str> = beside.into_iter().filter(|name| get(name).is_some()).collect();
            if !set.is_empty() {
                problems.push(format!("{} is not set, but {}: which portal is meant?", URL, set.join(", ")));
            }
        }
        match (nodes, login, trust) {
            (Some(nodes), Some(login), Some(trust)) if problems.is_empty() => {
                let is_cloud = nodes.iter().any(Node::is_cloud);
                Ok(Some(Self { nodes, login, trust, is_cloud, limits: Limits::default() }))
            }
            _ if problems.is_empty() => Ok(None),
            _ => Err(BadVariables(problems)),
        }
    }
}

fn nodes(urls: Option<String>, problems: &mut Vec<String>) -> Option<Vec<Node>> {
    let urls = urls?;
    let mut nodes = Vec::new();
    for url in urls.split(',').filter(|url| !url.trim().is_empty()) {
        match Node::parse(url) {
            Ok(node) => nodes.push(node),
            Err(error) => problems.push(format!("{URL}: {error}")),
        }
    }
    if nodes.is_empty() && problems.is_empty() {
        problems.push(format!("{URL}: there is no address in it"));
    }
    Some(nodes)
}

fn login(
    [user, password, token]: [Option<String>; 3],
    is_wanted: bool,
    problems: &mut Vec<String>,
) -> Option<Login> {
    let why = match (user, password, token) {
        (None, None, Some(token)) => return Some(Login::Token(token)),
        (Some(user), Some(password), None) => return Some(Login::Password { user, password }),
        (None, None, None) if !is_wanted => return None,
        (None, None, None) => format!("{URL} is set; set {USER} and {PASSWORD} as well, or {TOKEN}"),
        (Some(_), None, None) => format!("{USER} is set, but {PASSWORD} is not"),
        (None, Some(_), None) => format!("{PASSWORD} is set, but {USER} is not"),
        (_, _, Some(_)) => format!("{TOKEN} is set, and {USER} or {PASSWORD}, too: leave one way out"),
    };
    problems.push(why);
    None
}

fn trust([ca, pin, insecure]: [Option<String>; 3], problems: &mut Vec<String>) -> Option<Trust> {
    let before = problems.len();
    let given = [ca.is_some(), pin.is_some(), insecure.is_some()].into_iter().filter(|given| *given).count();
    if given > 1 {
        problems.push(format!("only one of {CA_FILE}, {PIN} and {INSECURE} can be set"));
    }
    let mut trusts = Vec::new();
    trusts.extend(ca.map(|path| Trust::CaFile(PathBuf::from(path))));
    if let Some(pin) = pin {
        match Trust::pin(&pin) {
            Some(pin) => trusts.push(pin),
            None => problems.push(format!(
                "{PIN}: not the SHA-256 of a certificate: 64 hexadecimal digits, with colons between them or without"
            )),
        }
    }
    if let Some(insecure) = insecure {
        match insecure.as_str() {
            "1" => trusts.push(Trust::Insecure),
            _ => problems.push(format!("{INSECURE}: only `1` has a meaning, not `{insecure}`")),
        }
    }
    let trust = trusts.into_iter().next().unwrap_or_default();
    if let (Trust::CaFile(_), Err(error)) = (&trust, tls::client(&trust, Limits::default().connect)) {
        problems.push(format!("{CA_FILE}: {}", chain(&error)));
    }
    (problems.len() == before).then_some(trust)
}

/// Which variables have to be set for somebody to set back what `user` did at the portal with these nodes.
#[must_use]
pub(crate) fn wanted(nodes: &[String], user: Option<&str>) -> String {
    let user =
        user.map_or_else(|| format!("{USER}, {PASSWORD}"), |user| format!("{USER}={user}, {PASSWORD}"));
    format!("set {URL}={}, and {user} or {TOKEN}", nodes.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<CvpSpec>, BadVariables> {
        let variable =
            |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
        CvpSpec::from_variables(&variable)
    }

    #[test]
    fn a_portal_is_read() {
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[(URL, ""), (USER, "")]).unwrap().is_none());
        let spec =
            read(&[(URL, "cvp1, https://cvp2:8443"), (USER, "ada"), (PASSWORD, "p w")]).unwrap().unwrap();
        let nodes: Vec<String> = spec.nodes.iter().map(Node::address).collect();
        assert_eq!(nodes, ["https://cvp1", "https://cvp2:8443"]);
        assert_eq!(spec.login, Login::Password { user: "ada".into(), password: "p w".into() });
        assert_eq!(spec.trust, Trust::System);
        let pin = "ab".repeat(32);
        let spec = read(&[(URL, "www.arista.io"), (TOKEN, "t"), (PIN, &pin)]).unwrap().unwrap();
        assert_eq!((spec.trust, spec.is_cloud), (Trust::Pin([0xab; 32]), true));
        let spec = read(&[(URL, "http://c:80"), (TOKEN, "t"), (INSECURE, "1")]).unwrap().unwrap();
        assert_eq!(spec.trust, Trust::Insecure);
    }

    #[rstest::rstest]
    #[case(&[(URL, "cvp1")], &["set POLDER_CVP_USER and POLDER_CVP_PASSWORD as well, or POLDER_CVP_TOKEN"])]
    #[case(&[(USER, "ada"), (PASSWORD, "s3cret")], &["POLDER_CVP_URL is not set, but POLDER_CVP_USER, POLDER_CVP_PASSWORD"])]
    #[case(&[(INSECURE, "1")], &["POLDER_CVP_URL is not set, but POLDER_CVP_INSECURE"])]
    #[case(&[(URL, ","), (TOKEN, "s3cret")], &["there is no address in it"])]
    #[case(&[(URL, "cvp1"), (USER, "ada"), (TOKEN, "s3cret")], &["leave one way out"])]
    #[case(&[(URL, "cvp1"), (PASSWORD, "s3cret")], &["POLDER_CVP_PASSWORD is set, but POLDER_CVP_USER is not"])]
    #[case(
        &[(URL, "ftp://x,https://a:s3cret@x"), (USER, "ada"), (CA_FILE, "/no/ca.pem"), (PIN, "s3cret"), (INSECURE, "yes")],
        &["`ftp` is not a way", "does not belong into the address", "POLDER_CVP_PASSWORD is not", "only one of",
          "64 hexadecimal digits", "only `1`", "/no/ca.pem: No such file"]
    )]
    fn everything_that_is_wrong_is_said_at_once(#[case] variables: &[(&str, &str)], #[case] words: &[&str]) {
        let error = read(variables).unwrap_err();
        assert_eq!(error.0.len(), words.len(), "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "no `{word}` in {error}");
        }
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }

    #[test]
    fn what_has_to_be_set_is_said() {
        let nodes = ["https://cvp1".to_owned(), "https://cvp2".to_owned()];
        let expected = "set POLDER_CVP_URL=https://cvp1,https://cvp2, and POLDER_CVP_USER=ada, POLDER_CVP_PASSWORD or POLDER_CVP_TOKEN";
        assert_eq!(wanted(&nodes, Some("ada")), expected);
    }
}
