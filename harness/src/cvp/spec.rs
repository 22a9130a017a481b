//! Which portal, who we are there, what we trust and how long we wait.

use std::{fmt, path::PathBuf, time::Duration};

use reqwest::Url;

/// A portal and how to log in to it.
#[derive(Debug, Clone)]
pub struct CvpSpec {
    /// Its nodes, in the order in which they are tried; all of them are one portal.
    pub nodes: Vec<Node>,
    /// Who we are.
    pub login: Login,
    /// Which certificates are good.
    pub trust: Trust,
    /// Whether it is a tenant of the cloud service: other paths, tokens only, no provisioning of its own.
    pub is_cloud: bool,
    /// How long we wait.
    pub limits: Limits,
}

impl CvpSpec {
    /// A portal of one node, whose certificate must be one that this host trusts.
    #[must_use]
    pub fn new(node: Node, login: Login) -> Self {
        let is_cloud = node.is_cloud();
        Self { nodes: vec![node], login, trust: Trust::System, is_cloud, limits: Limits::default() }
    }
}

/// One node of a portal.
#[derive(Clone, PartialEq, Eq)]
pub struct Node(Url);

/// Text that does not name a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` does not name a portal: {why}; write `https://HOST:PORT`, or the host alone")]
pub struct NotANode {
    text: String,
    why: String,
}

impl Node {
    /// Reads `https://HOST:PORT`, `HOST:PORT` or `HOST`; https and port 443 where nothing else is said. Plain
    /// `http://` only where it is asked for: nothing ever falls back to it.
    ///
    /// # Errors
    /// Something else; names and passwords have their own places.
    pub fn parse(text: &str) -> Result<Self, NotANode> {
        let error = |why: String| NotANode { text: text.to_owned(), why };
        let text = text.trim();
        let is_bare_v6 = text.parse::<std::net::Ipv6Addr>().is_ok();
        let whole = match text {
            _ if text.contains("://") => text.to_owned(),
            _ if is_bare_v6 => format!("https://[{text}]"),
            _ => format!("https://{text}"),
        };
        let url = Url::parse(&whole).map_err(|why| error(why.to_string()))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(error(format!("`{}` is not a way to it", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NotANode {
                text: "(an address with a name in it)".into(),
                why: "who we are does not belong into the address".into(),
            });
        }
        if url.host_str().is_none_or(str::is_empty) || url.path() != "/" || url.query().is_some() {
            return Err(error("there is more in it than a host and a port".into()));
        }
        Ok(Self(url))
    }

    /// Where it is, as it can be written again.
    #[must_use]
    pub fn address(&self) -> String {
        self.0.as_str().trim_end_matches('/').to_owned()
    }

    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    pub(super) fn is_cloud(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        host == "arista.io" || host.ends_with(".arista.io")
    }
}

/// Host and port.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or_default();
        match self.0.port() {
            Some(port) => write!(f, "{host}:{port}"),
            None => f.write_str(host),
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({self})")
    }
}

/// Who we are at a portal; shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A user with a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// The token of a service account.
    Token(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Login({user}, a password)"),
            Self::Token(_) => f.write_str("Login(a token)"),
        }
    }
}

impl Login {
    /// The user's name; a token says it to the portal only.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Password { user, .. } => Some(user),
            Self::Token(_) => None,
        }
    }
}

/// Which certificates of a portal are good.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// Those of authorities this host trusts.
    #[default]
    System,
    /// Those of the authorities in a file in PEM form, and no others.
    CaFile(PathBuf),
    /// Those of the authorities in this text in PEM form, and no others.
    CaPem(Vec<u8>),
    /// The one with this SHA-256, whatever it says of itself.
    Pin([u8; 32]),
    /// All of them, also those of somebody in between.
    Insecure,
}

impl Trust {
    /// A pin as tools print it: 64 hexadecimal digits, with colons between them or without.
    #[must_use]
    pub fn pin(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|c| *c != ':' && !c.is_whitespace()).collect();
        let mut pin = [0; 32];
        if digits.len() != 64 || !digits.is_ascii() {
            return None;
        }
        for (byte, pair) in pin.iter_mut().zip(digits.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self::Pin(pin))
    }
}

/// How long we wait for a portal. All are times of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection is there.
    pub connect: Duration,
    /// Until a session is there, at one node.
    pub login: Duration,
    /// Until an answer is there, attempts at other nodes included.
    pub answer: Duration,
    /// The same for what takes the portal long: compliance, comparisons, large lists.
    pub slow_answer: Duration,
    /// How often in all a question is asked that got no answer and may be asked again.
    pub attempts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            login: Duration::from_secs(20),
            answer: Duration::from_secs(60),
            slow_answer: Duration::from_secs(300),
            attempts: 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("cvp1", "https://cvp1/", "cvp1")]
    #[case("cvp1:8443", "https://cvp1:8443/", "cvp1:8443")]
    #[case("https://cvp1.lab:443", "https://cvp1.lab/", "cvp1.lab")]
    #[case("http://127.0.0.1:8080/", "http://127.0.0.1:8080/", "127.0.0.1:8080")]
    #[case("[::1]:8443", "https://[::1]:8443/", "[::1]:8443")]
    #[case("fe80::1", "https://[fe80::1]/", "[fe80::1]")]
    fn nodes_are_read(#[case] text: &str, #[case] url: &str, #[case] shown: &str) {
        let node = Node::parse(text).unwrap();
        assert_eq!((node.url().as_str(), node.to_string().as_str()), (url, shown));
    }

    #[rstest::rstest]
    #[case("", "empty host")]
    #[case("ftp://cvp1", "`ftp` is not a way to it")]
    #[case("cvp1/web", "more in it than a host")]
    #[case("cvp1:99999", "invalid port")]
    #[case("https://ada:hunter2@cvp1", "does not belong into the address")]
    fn what_is_no_node_is_said(#[case] text: &str, #[case] why: &str) {
        let error = Node::parse(text).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_cloud_tenant_is_known_by_its_name() {
        let spec = |host| CvpSpec::new(Node::parse(host).unwrap(), Login::Token("t".into()));
        assert!(spec("www.cv-prod-euwest-2.arista.io").is_cloud);
        assert!(!spec("arista.io.example").is_cloud);
    }

    #[test]
    fn secrets_are_never_shown() {
        let password = Login::Password { user: "ada".into(), password: "hunter2".into() };
        assert_eq!(
            format!("{password:?} {:?}", Login::Token("t0p".into())),
            "Login(ada, a password) Login(a token)"
        );
    }

    #[rstest::rstest]
    #[case(&"AB:".repeat(32), true)]
    #[case(&"ab".repeat(32), true)]
    #[case(&"ab".repeat(31), false)]
    #[case(&"zz".repeat(32), false)]
    #[case(&"ä".repeat(32), false)]
    fn pins_are_read_as_tools_print_them(#[case] text: &str, #[case] good: bool) {
        let expected = good.then_some(Trust::Pin([0xab; 32]));
        assert_eq!(Trust::pin(text.trim_end_matches(':')), expected);
    }
}
