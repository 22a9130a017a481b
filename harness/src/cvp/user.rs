//! People who may log in, and what their roles allow.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    ask::Ask,
    client::{Client, or_default},
    error::CvpError,
};

/// Somebody who may log in. The password is told when a user is made or changed, and never read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// The name to log in with.
    pub name: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Address for mail.
    pub email: String,
    /// Whether they may log in.
    pub is_enabled: bool,
    /// Where the portal knows them from: `Local`, `SSO`.
    pub kind: String,
    /// Keys of their roles.
    pub roles: Vec<String>,
}

impl User {
    /// A user of the portal's own with one role, such as `network-admin`.
    #[must_use]
    pub fn new(name: impl Into<String>, role: impl Into<String>) -> Self {
        let (name, roles) = (name.into(), vec![role.into()]);
        Self { name, roles, is_enabled: true, kind: "Local".to_owned(), ..Self::default() }
    }

    fn wire(&self, password: Option<&str>) -> Value {
        let mut user = json!({
            "userId": self.name, "firstName": self.first_name, "lastName": self.last_name, "email": self.email,
            "contactNumber": "", "userStatus": if self.is_enabled { "Enabled" } else { "Disabled" },
            "userType": self.kind,
        });
        if let (Some(password), Some(user)) = (password, user.as_object_mut()) {
            user.insert("password".to_owned(), password.into());
        }
        json!({ "roles": self.roles, "user": user })
    }
}

/// What its holders may do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// What the portal calls it; empty while it is not made.
    #[serde(default, deserialize_with = "or_default")]
    pub key: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// What may be done in which part of the portal.
    #[serde(default, rename = "moduleList", deserialize_with = "or_default")]
    pub modules: Vec<Module>,
}

/// What a role allows in a part of the portal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// The part, such as `configlet`.
    pub name: String,
    /// `r`, or `rw`.
    pub mode: String,
}

/// Its name.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A user as the portal tells of one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    user_id: String,
    #[serde(default, deserialize_with = "or_default")]
    first_name: String,
    #[serde(default, deserialize_with = "or_default")]
    last_name: String,
    #[serde(default, deserialize_with = "or_default")]
    email: String,
    #[serde(default, deserialize_with = "or_default")]
    user_status: String,
    #[serde(default, deserialize_with = "or_default")]
    user_type: String,
}

impl Row {
    fn with(self, roles: Vec<String>) -> User {
        User {
            name: self.user_id,
            first_name: self.first_name,
            last_name: self.last_name,
            email: self.email,
            is_enabled: !self.user_status.eq_ignore_ascii_case("disabled"),
            kind: self.user_type,
            roles,
        }
    }
}

/// What the portal says when there is no such user or role.
const ABSENT: &[&str] = &["202889", "202801", "232889", "232801", "132801"];
/// What it says when there is one already.
const TAKEN: &[&str] = &["202518", "232518"];

fn is_absent(error: &CvpError) -> bool {
    ABSENT.iter().any(|code| error.is(code))
}

/// What an error of making or changing the `kind` called `name` means.
fn meaning(error: CvpError, kind: &'static str, name: &str) -> CvpError {
    match error {
        error if is_absent(&error) => CvpError::not_found(kind, name, []),
        error if TAKEN.iter().any(|code| error.is(code)) => CvpError::Exists { kind, name: name.to_owned() },
        error => error,
    }
}

impl Client {
    /// All users.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn users(&self) -> Result<Vec<User>, CvpError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default, deserialize_with = "or_default")]
            users: Vec<Row>,
            #[serde(default, deserialize_with = "or_default")]
            roles: std::collections::HashMap<String, Vec<String>>,
        }
        let ask = Ask::get("list the users", "/user/getUsers.do").query("queryparam", "").rows(0, 0);
        let mut answer: Answer = self.read(&ask).await?;
        let with = |row: Row| {
            let roles = answer.roles.remove(&row.user_id).unwrap_or_default();
            row.with(roles)
        };
        Ok(answer.users.into_iter().map(with).collect())
    }

    /// The user of this name, if there is one.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn user(&self, name: &str) -> Result<Option<User>, CvpError> {
        #[derive(Deserialize)]
        struct Answer {
            user: Row,
            #[serde(default, deserialize_with = "or_default")]
            roles: Vec<String>,
        }
        let ask = Ask::get(format!("look up the user `{name}`"), "/user/getUser.do").query("userId", name);
        match self.read::<Answer>(&ask).await {
            Ok(answer) => Ok(Some(answer.user.with(answer.roles))),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a user.
    ///
    /// # Errors
    /// [`CvpError::Exists`]; the portal cannot be asked, or refuses: a role is not there.
    pub async fn add_user(&self, user: &User, password: &str) -> Result<(), CvpError> {
        let what = format!("make the user `{}`", user.name);
        let added = self.ask(&Ask::post(what, "/user/addUser.do", user.wire(Some(password)))).await;
        match added {
            Ok(_) => Ok(()),
            // It is there or it is not: that can be looked up.
            Err(error) if error.may_have_happened() => {
                if self.user(&user.name).await?.as_ref() == Some(user) { Ok(()) } else { Err(error) }
            }
            Err(error) => Err(meaning(error, "user", &user.name)),
        }
    }

    /// Changes a user, and the password if one is given, which ends all sessions of theirs.
    ///
    /// # Errors
    /// [`CvpError::NotFound`]; the portal cannot be asked, or refuses.
    pub async fn update_user(&self, user: &User, password: Option<&str>) -> Result<(), CvpError> {
        let what = format!("change the user `{}`", user.name);
        let ask = Ask::post(what, "/user/updateUser.do", user.wire(password)).repeatable();
        let updated = self.ask(&ask.query("userId", &user.name)).await;
        updated.map(drop).map_err(|error| meaning(error, "user", &user.name))
    }

    /// Removes users, all of them or none.
    ///
    /// # Errors
    /// [`CvpError::NotFound`]; the portal cannot be asked, or refuses.
    pub async fn delete_users(&self, names: &[&str]) -> Result<(), CvpError> {
        let shown = names.join(", ");
        let ask = Ask::post(format!("delete the users {shown}"), "/user/deleteUsers.do", json!(names));
        self.ask(&ask).await.map(drop).map_err(|error| meaning(error, "user", &shown))
    }

    /// All roles.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn roles(&self) -> Result<Vec<Role>, CvpError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default, deserialize_with = "or_default")]
            roles: Vec<Role>,
        }
        Ok(self.read::<Answer>(&Ask::get("list the roles", "/role/getRoles.do").rows(0, 0)).await?.roles)
    }

    /// The role of this name or key.
    ///
    /// # Errors
    /// [`CvpError::NotFound`] with the nearest name there is; the portal cannot be asked, or refuses.
    pub async fn role(&self, name: &str) -> Result<Role, CvpError> {
        let all = self.roles().await?;
        let found =
            all.iter().find(|one| one.name == name).or_else(|| all.iter().find(|one| one.key == name));
        found
            .cloned()
            .ok_or_else(|| CvpError::not_found("role", name, all.iter().map(|one| one.name.as_str())))
    }

    /// Makes a role; the portal gives it its key.
    ///
    /// # Errors
    /// [`CvpError::Exists`]; the portal cannot be asked, or refuses.
    pub async fn add_role(&self, role: &Role) -> Result<Role, CvpError> {
        let body = json!({ "name": role.name, "description": role.description, "moduleList": role.modules });
        let ask = Ask::post(format!("make the role `{role}`"), "/role/createRole.do", body);
        match self.ask(&ask).await {
            Ok(_) => self.role(&role.name).await,
            // It is there or it is not: that can be looked up.
            Err(error) if error.may_have_happened() => match self.role(&role.name).await {
                Ok(made) if made.modules == role.modules => Ok(made),
                _ => Err(error),
            },
            Err(error) => Err(meaning(error, "role", &role.name)),
        }
    }

    /// Changes the role of a key.
    ///
    /// # Errors
    /// [`CvpError::NotFound`]; the portal cannot be asked, or refuses.
    pub async fn update_role(&self, role: &Role) -> Result<(), CvpError> {
        let ask = Ask::post(format!("change the role `{role}`"), "/role/updateRole.do", json!(role));
        let updated = self.ask(&ask.repeatable()).await;
        updated.map(drop).map_err(|error| meaning(error, "role", &role.name))
    }

    /// Removes a role that nobody has.
    ///
    /// # Errors
    /// [`CvpError::NotFound`]; the portal cannot be asked, or refuses: somebody has it, or every portal has.
    pub async fn delete_role(&self, role: &Role) -> Result<(), CvpError> {
        let ask = Ask::post(format!("delete the role `{role}`"), "/role/deleteRoles.do", json!([role.key]));
        self.ask(&ask).await.map(drop).map_err(|error| meaning(error, "role", &role.name))
    }
}
