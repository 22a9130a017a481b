//! Who may come in: users, their roles, and the sessions they have.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    clock::{Ms, hex},
    refused::{About, Refused, Why},
    state::Model,
    topology::TempAction,
};

/// The role that may do everything.
pub(crate) const ADMIN: &str = "network-admin";
/// The role that only reads.
const OPERATOR: &str = "network-operator";
/// What digests of passwords begin with.
const SEALED: &str = "sha256:";

/// Somebody with a password.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct User {
    /// A digest; the password itself only in files that people wrote.
    pub(crate) password: String,
    pub(crate) roles: Vec<String>,
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    pub(crate) email: String,
    pub(crate) contact: String,
    /// Not let in.
    pub(crate) disabled: bool,
    pub(crate) kind: String,
    pub(crate) last_accessed: Ms,
}

impl User {
    pub(super) fn seal(&mut self, salt: &str) {
        if !self.password.starts_with(SEALED) {
            self.password = format!("{SEALED}{salt}:{}", digest(salt, &self.password));
        }
    }

    fn opens(&self, password: &str) -> bool {
        let parts = self.password.strip_prefix(SEALED).and_then(|rest| rest.split_once(':'));
        parts.is_some_and(|(salt, sealed)| digest(salt, password) == sealed)
    }
}

fn digest(salt: &str, password: &str) -> String {
    hex(&Sha256::new().chain_update(salt).chain_update(password).finalize())
}

/// What its holders may do.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Role {
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) description: String,
    /// `{name, mode}` each, the mode being `r` or `rw`.
    pub(crate) modules: Vec<Value>,
    pub(crate) created_by: String,
    pub(crate) created_at: Ms,
}

impl Role {
    pub(super) fn built_in() -> [Self; 2] {
        let modules = |mode: &str| {
            let names =
                ["cloud", "configlet", "image", "inventory", "task", "user", "changeControl", "snapshot"];
            names.map(|name| serde_json::json!({"name": name, "mode": mode})).to_vec()
        };
        [(ADMIN, "rw", "may do everything"), (OPERATOR, "r", "may look at everything")].map(
            |(key, mode, description)| Self {
                key: key.to_owned(),
                name: key.to_owned(),
                description: description.to_owned(),
                modules: modules(mode),
                created_by: "cvp system".to_owned(),
                created_at: 0,
            },
        )
    }

    fn is_built_in(&self) -> bool {
        matches!(self.key.as_str(), ADMIN | OPERATOR)
    }

    fn writes(&self) -> bool {
        self.modules.iter().any(|module| module.get("mode").and_then(Value::as_str) == Some("rw"))
    }
}

/// Somebody who is in.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) user: String,
    pub(super) roles: Option<Vec<String>>,
    created: Ms,
    used: Ms,
    /// Changes of the topology that are not saved yet.
    pub(crate) actions: Vec<TempAction>,
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    pub(crate) user: String,
    /// The key of the session.
    pub(crate) session: String,
}

impl Model {
    /// Lets somebody in; returns the id of the session.
    pub(crate) fn login(&mut self, name: &str, password: &str) -> Result<String, Refused> {
        let now = self.clock.now();
        let user = self.users.get_mut(name).filter(|user| !user.disabled && user.opens(password));
        let Some(user) = user else {
            return Err(Refused::new(About::Login, Why::Credentials, "Invalid credentials"));
        };
        user.last_accessed = now;
        let id = format!("session_{}", self.clock.secret());
        self.open(id.clone(), name, None);
        Ok(id)
    }

    /// Ends a session.
    pub(crate) fn logout(&mut self, who: &Who) {
        self.sessions.remove(&who.session);
    }

    /// Who it is that knows one of these secrets: ids of sessions, or tokens.
    pub(crate) fn recognize(&mut self, secrets: &[String]) -> Option<Who> {
        let now = self.clock.now();
        let (idle, age) = (self.settings.idle, self.settings.age);
        self.sessions.retain(|_, s| now.saturating_sub(s.used) < idle && now.saturating_sub(s.created) < age);
        for secret in secrets {
            if let Some(session) = self.sessions.get_mut(secret).filter(|session| session.roles.is_none()) {
                session.used = now;
                return Some(Who { user: session.user.clone(), session: secret.clone() });
            }
            if let Some((id, account, roles)) = self.account_of(secret) {
                let session = format!("token {id}");
                if !self.sessions.contains_key(&session) {
                    self.open(session.clone(), &account, Some(roles));
                }
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.used = now;
                }
                return Some(Who { user: account, session });
            }
        }
        None
    }

    fn open(&mut self, id: String, user: &str, roles: Option<Vec<String>>) {
        let now = self.clock.now();
        let session = Session { user: user.to_owned(), roles, created: now, used: now, actions: vec![] };
        self.sessions.insert(id, session);
    }

    /// Ends all sessions of `user`, or of everybody.
    pub(crate) fn end_sessions(&mut self, user: Option<&str>) {
        self.sessions.retain(|_, session| user.is_some_and(|user| session.user != user));
    }

    /// Whether somebody may change something.
    pub(crate) fn may_write(&self, who: &Who) -> bool {
        let own = self.sessions.get(&who.session).and_then(|session| session.roles.as_ref());
        let roles = own.or_else(|| self.users.get(&who.user).map(|user| &user.roles));
        let writes = |key: &String| self.roles.get(key).is_some_and(Role::writes);
        !self.settings.enforce_roles || roles.is_some_and(|roles| roles.iter().any(writes))
    }

    /// Adds a user.
    pub(crate) fn add_user(&mut self, name: &str, mut user: User) -> Result<(), Refused> {
        if name.is_empty() {
            return Err(Refused::invalid(About::User, "userId is empty"));
        }
        if self.users.contains_key(name) {
            return Err(Refused::new(About::User, Why::Exists, format!("User {name} already exists")));
        }
        self.require_roles(&user.roles)?;
        user.seal(&self.clock.secret());
        self.users.insert(name.to_owned(), user);
        Ok(())
    }

    /// Changes a user; an empty password stays what it was. A new one ends the sessions the user has.
    pub(crate) fn update_user(&mut self, name: &str, mut user: User) -> Result<(), Refused> {
        self.require_roles(&user.roles)?;
        let salt = self.clock.secret();
        let Some(known) = self.users.get_mut(name) else {
            return Err(absent_user(name));
        };
        let same = user.password.is_empty() || known.opens(&user.password);
        if same {
            user.password.clone_from(&known.password);
        }
        user.seal(&salt);
        let out = !same || user.disabled;
        *known = user;
        if out {
            self.end_sessions(Some(name));
        }
        Ok(())
    }

    /// Removes users, all or none.
    pub(crate) fn delete_users(&mut self, names: &[String]) -> Result<(), Refused> {
        if let Some(name) = names.iter().find(|name| !self.users.contains_key(*name)) {
            return Err(absent_user(name));
        }
        for name in names {
            self.users.remove(name);
            self.end_sessions(Some(name));
        }
        Ok(())
    }

    fn require_roles(&self, roles: &[String]) -> Result<(), Refused> {
        match roles.iter().find(|role| !self.roles.contains_key(*role)) {
            Some(role) => Err(absent_role(role)),
            None => Ok(()),
        }
    }

    fn require_free_role(&self, role: &Role) -> Result<(), Refused> {
        if self.roles.values().any(|known| known.name == role.name && known.key != role.key) {
            return Err(Refused::new(About::Role, Why::Exists, format!("Role {} already exists", role.name)));
        }
        Ok(())
    }

    /// Adds a role; returns its key.
    pub(crate) fn add_role(&mut self, user: &str, mut role: Role) -> Result<String, Refused> {
        role.key.clear();
        self.require_free_role(&role)?;
        role.key = format!("role_{}", self.clock.uuid());
        role.created_by = user.to_owned();
        role.created_at = self.clock.stamp();
        let key = role.key.clone();
        self.roles.insert(key.clone(), role);
        Ok(key)
    }

    /// Changes a role.
    pub(crate) fn update_role(&mut self, role: &Role) -> Result<(), Refused> {
        self.require_free_role(role)?;
        let known = self.roles.get_mut(&role.key).ok_or_else(|| absent_role(&role.key))?;
        known.name.clone_from(&role.name);
        known.description.clone_from(&role.description);
        known.modules.clone_from(&role.modules);
        Ok(())
    }

    /// Removes roles, all or none.
    pub(crate) fn delete_roles(&mut self, keys: &[String]) -> Result<(), Refused> {
        for key in keys {
            let role = self.roles.get(key).ok_or_else(|| absent_role(key))?;
            let holder = self.users.iter().find(|(_, user)| user.roles.contains(key)).map(|(name, _)| name);
            if role.is_built_in() || holder.is_some() {
                let who = holder.map_or("the portal itself", String::as_str);
                let text = format!("Role {} cannot be deleted: {who} has it", role.name);
                return Err(Refused::new(About::Role, Why::InUse, text));
            }
        }
        self.roles.retain(|key, _| !keys.contains(key));
        Ok(())
    }
}

/// There is no such user.
pub(crate) fn absent_user(name: &str) -> Refused {
    Refused::new(About::User, Why::Absent, format!("Invalid user: {name}"))
}

/// There is no such role.
pub(crate) fn absent_role(key: &str) -> Refused {
    Refused::new(About::Role, Why::Absent, format!("Invalid role: {key}"))
}
