//! What becomes of sessions at portals: each is its process's. Pure.

use std::path::PathBuf;

use super::plan::Fate;

/// A session at a portal, as its journal tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The journal.
    pub journal: PathBuf,
    /// What the names of everything begin with that it made.
    pub prefix: String,
    /// Addresses of the portal.
    pub portal: String,
    /// Who was logged in there; absent with a token.
    pub user: Option<String>,
    /// Whose it is.
    pub owner: String,
    /// On which host.
    pub host: String,
    /// Whether that process has ended.
    pub is_over: bool,
    /// Whether the portal was a part of that process.
    pub is_embedded: bool,
    /// What is to be set back, in words, newest first.
    pub standing: Vec<String>,
}

impl Session {
    /// Whether it goes, seen from the host called `host`.
    pub(super) fn fate(&self, host: &str) -> Fate {
        let Self { prefix, portal, owner, .. } = self;
        let user = self.user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
        let whose = format!("`{prefix}` at {portal}{user}");
        match () {
            () if self.host != host => {
                Fate::Stays(format!("{whose} is of {owner}, which only that host can judge"))
            }
            () if !self.is_over => Fate::Fine,
            () if self.is_embedded => Fate::Goes(format!("{whose} was a part of {owner}, which is gone")),
            () if self.standing.is_empty() => {
                Fate::Goes(format!("{whose} is of {owner}, which is gone; all is as it was"))
            }
            () => {
                let what = self.standing.join(", ");
                Fate::Goes(format!("{whose} is of {owner}, which is gone; to be set back: {what}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Seen, plan};
    use super::*;

    const HERE: &str = "here";

    #[test]
    fn sessions_are_set_back_when_their_process_is_gone() {
        let session = |prefix: &str, host: &str, is_over, is_embedded, standing: &[&str]| Session {
            journal: format!("/j/{prefix}7.jsonl").into(),
            prefix: prefix.into(),
            portal: "https://cvp1".into(),
            user: (prefix != "c-").then(|| "ada".into()),
            owner: format!("process 7 on {host}"),
            host: host.into(),
            is_over,
            is_embedded,
            standing: standing.iter().map(ToString::to_string).collect(),
        };
        let seen = Seen {
            host: HERE.into(),
            sessions: vec![
                session("a-", HERE, true, false, &["delete the configlet `a-x`", "end the lease of 00:01"]),
                session("b-", HERE, false, false, &["delete the configlet `b-x`"]),
                session("c-", HERE, true, false, &[]),
                session("d-", HERE, true, true, &["delete the configlet `d-x`"]),
                session("e-", "there", false, false, &[]),
            ],
            odd_journals: vec!["/j/notes".into()],
            ..Seen::default()
        };
        insta::assert_snapshot!(plan(&seen), @r"
        remove  session /j/a-7.jsonl: `a-` at https://cvp1 as ada is of process 7 on here, which is gone; to be set back: delete the configlet `a-x`, end the lease of 00:01
        remove  session /j/c-7.jsonl: `c-` at https://cvp1 is of process 7 on here, which is gone; all is as it was
        remove  session /j/d-7.jsonl: `d-` at https://cvp1 as ada was a part of process 7 on here, which is gone
        keep    session /j/e-7.jsonl: `e-` at https://cvp1 as ada is of process 7 on there, which only that host can judge
        keep    session /j/notes: no journal of a session can be read in it; look at it, and remove it
        ");
    }
}
