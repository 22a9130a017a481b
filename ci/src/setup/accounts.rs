//! Users and their subordinate ids, which labs of ordinary users map. Knows nothing of what runs as them.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use anyhow::{Context, Result};

use super::Root;
use crate::command;

/// Ids one user gets, as `useradd` hands them out.
const COUNT: u32 = 65_536;

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// Its name.
    pub(crate) name: String,
    /// Its user id.
    pub(crate) uid: u32,
    /// Its group id.
    pub(crate) gid: u32,
    /// Its home folder.
    pub(crate) home: PathBuf,
}

/// The user id this process runs with.
pub(crate) fn own_uid() -> Option<u32> {
    Some(fs::metadata("/proc/self").ok()?.uid())
}

/// Gives whoever runs this subordinate ids, unless it is root, who needs none, or has them.
pub(crate) fn own_ids() -> Result<()> {
    let Some(uid) = own_uid().filter(|uid| *uid != 0) else {
        return Ok(());
    };
    let by_id = |account: &Account| account.uid == uid;
    let account = find(by_id)?.with_context(|| format!("user id {uid} has no entry in /etc/passwd"))?;
    give_ids(&account)
}

/// The user of that name with subordinate ids; made when there is none. Takes root.
pub(crate) fn ensure(name: &str) -> Result<Account> {
    let by_name = |account: &Account| account.name == name;
    if find(by_name)?.is_none() {
        println!("making user {name}, as which tests run again without privileges");
        let root = Root::get(&[format!("sudo useradd --create-home {name}")])?;
        command::run(root.command("useradd").args(["--create-home", "--shell", "/bin/sh", name]))?;
    }
    let account = find(by_name)?.with_context(|| format!("useradd left no user {name} in /etc/passwd"))?;
    give_ids(&account)?;
    Ok(account)
}

fn find(wanted: impl Fn(&Account) -> bool) -> Result<Option<Account>> {
    let text = fs::read_to_string("/etc/passwd").context("could not read /etc/passwd")?;
    Ok(text.lines().filter_map(parse_account).find(wanted))
}

fn parse_account(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let home = PathBuf::from(fields.nth(1)?);
    Some(Account { name, uid, gid, home })
}

fn give_ids(account: &Account) -> Result<()> {
    let mut missing = vec![];
    for (file, option) in [("/etc/subuid", "--add-subuids"), ("/etc/subgid", "--add-subgids")] {
        let text = fs::read_to_string(file).unwrap_or_default();
        if let Some(range) = missing_range(&text, account) {
            println!("{} has no subordinate ids in {file}: adding {range}", account.name);
            missing.extend([option.to_owned(), range]);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let root = Root::get(&[format!("sudo usermod {} {}", missing.join(" "), account.name)])?;
    command::run(root.command("usermod").args(missing).arg(&account.name))
}

/// The range to give, when the user has none large enough: above all that is given already.
fn missing_range(text: &str, account: &Account) -> Option<String> {
    let uid = account.uid.to_string();
    let entries = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        Some((owner, fields.next()?.trim().parse::<u32>().ok()?, fields.next()?.trim().parse::<u32>().ok()?))
    });
    let mut free = 100_000;
    for (owner, start, count) in entries {
        if (owner == account.name || owner == uid) && count >= COUNT {
            return None;
        }
        free = free.max(start.saturating_add(count));
    }
    let last = free.checked_add(COUNT - 1)?;
    Some(format!("{free}-{last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tester() -> Account {
        parse_account("tester:x:1001:1002:Some, One:/home/tester:/bin/sh").unwrap()
    }

    #[test]
    fn accounts_are_read() {
        let expected =
            Account { name: "tester".to_owned(), uid: 1001, gid: 1002, home: PathBuf::from("/home/tester") };
        assert_eq!(tester(), expected);
        for odd in ["", "x", "x:y:z", "x:x:1:b::/h:", "+::::::"] {
            assert_eq!(parse_account(odd), None, "{odd}");
        }
    }

    #[test]
    fn ids_are_given_once_and_never_twice() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(missing_range(text, &tester()).as_deref(), expected, "{text}")
        };
        check("", Some("100000-165535"));
        check("other:100000:65536\nthird:300000:65536\n", Some("365536-431071"));
        check("tester:100000:65536\n", None);
        check("1001:500000:65536\n", None);
        check("tester:1:1\n", Some("100000-165535"));
        check("# odd\nother:x:y\nother\n", Some("100000-165535"));
        check("other:4294901760:65536\n", None);
    }

    #[test]
    fn we_know_who_we_are() {
        assert!(own_uid().is_some());
    }
}
