//! Accounts of programs, and the tokens they come in with.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    clock::{Ms, hex},
    refused::{About, Refused, Why},
    state::Model,
};

/// An account of programs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Account {
    pub(crate) description: String,
    /// Keys of roles.
    pub(crate) roles: Vec<String>,
    pub(crate) disabled: bool,
    pub(crate) created_by: String,
    pub(crate) modified: Ms,
}

/// What a program comes in with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    digest: String,
    /// The account it belongs to.
    pub(crate) account: String,
    pub(crate) description: String,
    pub(crate) created_by: String,
    pub(crate) valid_until: Ms,
}

fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}

impl Model {
    /// Makes or changes an account.
    pub(crate) fn set_account(&mut self, name: &str, mut account: Account) -> Result<(), Refused> {
        if name.is_empty() {
            return Err(Refused::invalid(About::Resource, "key.name is empty"));
        }
        if let Some(role) = account.roles.iter().find(|role| !self.roles.contains_key(*role)) {
            return Err(Refused::invalid(About::Resource, format!("there is no role {role}")));
        }
        account.modified = self.clock.stamp();
        self.accounts.insert(name.to_owned(), account);
        Ok(())
    }

    /// Removes an account with its tokens.
    pub(crate) fn delete_account(&mut self, name: &str) -> Result<(), Refused> {
        self.accounts.remove(name).ok_or_else(|| absent(name))?;
        let gone: Vec<String> =
            self.tokens.iter().filter(|(_, token)| token.account == name).map(|(id, _)| id.clone()).collect();
        gone.iter().try_for_each(|id| self.delete_token(id))
    }

    /// Makes a token that is good for `valid_for` milliseconds; returns its id and the secret, which nobody is told again.
    pub(crate) fn add_token(
        &mut self,
        user: &str,
        account: &str,
        description: &str,
        valid_for: Ms,
    ) -> Result<(String, String), Refused> {
        if !self.accounts.contains_key(account) {
            return Err(absent(account));
        }
        let (id, secret) = (self.clock.uuid(), self.clock.secret());
        let token = Token {
            digest: digest(&secret),
            account: account.to_owned(),
            description: description.to_owned(),
            created_by: user.to_owned(),
            valid_until: self.clock.now() + valid_for,
        };
        self.tokens.insert(id.clone(), token);
        Ok((id, secret))
    }

    /// Removes a token: nobody comes in with it any more.
    pub(crate) fn delete_token(&mut self, id: &str) -> Result<(), Refused> {
        self.sessions.remove(&format!("token {id}"));
        self.tokens.remove(id).map(drop).ok_or_else(|| absent(id))
    }

    /// The id, the account and the roles of a token that is good.
    pub(super) fn account_of(&self, secret: &str) -> Option<(String, String, Vec<String>)> {
        let (digest, now) = (digest(secret), self.clock.now());
        let (id, token) = self.tokens.iter().find(|(_, t)| t.digest == digest && now < t.valid_until)?;
        let account = self.accounts.get(&token.account).filter(|account| !account.disabled)?;
        Some((id.clone(), token.account.clone(), account.roles.clone()))
    }
}

/// There is nothing of this name.
fn absent(what: &str) -> Refused {
    Refused::new(About::Resource, Why::Absent, format!("resource not found: {what}"))
}
