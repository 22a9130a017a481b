//! Accounts of programs and their tokens: resources of portals from 2024.3 on, a service of those before.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    ask::Ask,
    client::{Client, Valued, Values, or_default},
    error::CvpError,
    spec::Login,
    version::Level,
};

/// An account of programs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceAccount {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Keys of its roles.
    pub roles: Vec<String>,
    /// Whether its tokens are good.
    pub is_enabled: bool,
}

/// What is known of a token of an account; never the token itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountToken {
    /// What the portal calls it.
    pub id: String,
    /// The account it belongs to.
    pub account: String,
    /// What it is for.
    pub description: String,
    /// Until when it is good, in the portal's words.
    pub valid_until: String,
}

/// A token that was just made: nobody is told it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// What the portal calls it.
    pub id: String,
    /// What a client logs in with.
    pub login: Login,
}

/// An account, as both APIs tell of one.
#[derive(Deserialize)]
struct Account {
    key: Name,
    #[serde(default, deserialize_with = "or_default")]
    description: String,
    #[serde(default, deserialize_with = "or_default")]
    groups: Values<Vec<String>>,
    #[serde(default, deserialize_with = "or_default")]
    status: String,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

impl From<Account> for ServiceAccount {
    fn from(read: Account) -> Self {
        Self {
            name: read.key.name,
            description: read.description,
            roles: read.groups.values,
            is_enabled: read.status != "ACCOUNT_STATUS_DISABLED",
        }
    }
}

/// A token, as both APIs tell of one.
#[derive(Deserialize)]
struct Token {
    key: Id,
    #[serde(default, deserialize_with = "or_default")]
    user: String,
    #[serde(default, deserialize_with = "or_default")]
    description: String,
    #[serde(default, rename = "validUntil", alias = "valid_until", deserialize_with = "or_default")]
    valid_until: String,
    #[serde(default, deserialize_with = "or_default")]
    token: String,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

impl From<Token> for AccountToken {
    fn from(read: Token) -> Self {
        let Token { key, user, description, valid_until, .. } = read;
        Self { id: key.id, account: user, description, valid_until }
    }
}

/// What there are two of, and how either API calls it.
struct Kind {
    /// In words.
    name: &'static str,
    /// The resource and the service.
    place: &'static str,
    /// What its key is called.
    key: &'static str,
    /// The same in a query.
    query: &'static str,
}

const ACCOUNT: Kind = Kind { name: "service account", place: "Account", key: "name", query: "key.name" };
const TOKEN: Kind = Kind { name: "token", place: "Token", key: "id", query: "key.id" };

impl Kind {
    fn resource(&self, more: &str) -> String {
        format!("/api/resources/serviceaccount/v1/{}{more}", self.place)
    }

    fn service(&self, more: &str, method: &str) -> String {
        format!("/api/v3/services/arista.serviceaccount.v1.{}{more}/{method}", self.place)
    }
}

impl Client {
    /// All accounts of programs.
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses.
    pub async fn service_accounts(&self) -> Result<Vec<ServiceAccount>, CvpError> {
        Ok(self.all_of::<Account>(&ACCOUNT).await?.into_iter().map(ServiceAccount::from).collect())
    }

    /// Makes an account of programs, or changes the one of this name.
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses: a role is not there.
    pub async fn set_service_account(&self, account: &ServiceAccount) -> Result<(), CvpError> {
        let status = if account.is_enabled { "ACCOUNT_STATUS_ENABLED" } else { "ACCOUNT_STATUS_DISABLED" };
        let value = json!({
            "key": { "name": account.name }, "description": account.description, "status": status,
            "groups": { "values": account.roles },
        });
        let what = format!("set the service account `{}`", account.name);
        self.set_of(&ACCOUNT, what, value, true).await.map(drop)
    }

    /// Removes an account of programs with its tokens.
    ///
    /// # Errors
    /// [`CvpError::NotFound`]; the portal cannot be asked, or refuses.
    pub async fn delete_service_account(&self, name: &str) -> Result<(), CvpError> {
        self.delete_of(&ACCOUNT, name).await
    }

    /// All tokens of all accounts; those that are good no more are listed until they are deleted.
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses.
    pub async fn account_tokens(&self) -> Result<Vec<AccountToken>, CvpError> {
        Ok(self.all_of::<Token>(&TOKEN).await?.into_iter().map(AccountToken::from).collect())
    }

    /// Makes a token of an account, good for `valid` (whole seconds, a year at most).
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses: the account is not there.
    pub async fn add_account_token(
        &self,
        account: &str,
        description: &str,
        valid: Duration,
    ) -> Result<NewToken, CvpError> {
        let seconds = format!("{}s", valid.as_secs());
        let is_new = self.level().await? >= Level::SERVICE_ACCOUNTS;
        let value = if is_new {
            json!({ "key": { "id": "" }, "user": account, "description": description, "validFor": seconds, "token": "" })
        } else {
            json!({ "user": account, "description": description, "valid_for": seconds })
        };
        let what = format!("make a token of the service account `{account}`");
        let made = self.set_of(&TOKEN, what.clone(), value, false).await?;
        match serde_json::from_value::<Valued<Token>>(made) {
            Ok(Valued { value: made }) if !made.token.is_empty() => {
                Ok(NewToken { id: made.key.id, login: Login::Token(made.token) })
            }
            _ => Err(CvpError::Failed { what, why: "there is no token in the portal's answer".to_owned() }),
        }
    }

    /// Removes a token: nobody comes in with it any more.
    ///
    /// # Errors
    /// [`CvpError::NotFound`]; the portal cannot be asked, or refuses.
    pub async fn delete_account_token(&self, id: &str) -> Result<(), CvpError> {
        self.delete_of(&TOKEN, id).await
    }

    /// Whether they are resources.
    async fn has_resources(&self, what: &str) -> Result<bool, CvpError> {
        let hint = "portals from 2021.3 on do; make a user instead";
        self.require(Level::DECOMMISSIONING, what, hint).await?;
        Ok(self.level().await? >= Level::SERVICE_ACCOUNTS)
    }

    async fn all_of<T: DeserializeOwned>(&self, kind: &Kind) -> Result<Vec<T>, CvpError> {
        let what = format!("list the {}s", kind.name);
        if self.has_resources(&what).await? {
            return self.values(Ask::get(what, kind.resource("/all"))).await;
        }
        let ask = Ask::post(what, kind.service("Service", "GetAll"), json!({})).repeatable();
        Ok(self.read::<Vec<Valued<T>>>(&ask).await?.into_iter().map(|one| one.value).collect())
    }

    /// Sets one; what is answered of it.
    async fn set_of(
        &self,
        kind: &Kind,
        what: String,
        value: Value,
        may_repeat: bool,
    ) -> Result<Value, CvpError> {
        let ask = if self.has_resources(&what).await? {
            Ask::post(what, kind.resource("Config"), value)
        } else {
            Ask::post(what, kind.service("ConfigService", "Set"), json!({ "value": value }))
        };
        match self.ask(&if may_repeat { ask.repeatable() } else { ask }).await? {
            // The older ones answer with lists.
            Value::Array(mut all) if !all.is_empty() => Ok(all.swap_remove(0)),
            one => Ok(one),
        }
    }

    async fn delete_of(&self, kind: &Kind, key: &str) -> Result<(), CvpError> {
        let what = format!("delete the {} `{key}`", kind.name);
        let ask = if self.has_resources(&what).await? {
            Ask::delete(what, kind.resource("Config"), Value::Null).query(kind.query, key)
        } else {
            Ask::post(what, kind.service("ConfigService", "Delete"), json!({ "key": { (kind.key): key } }))
        };
        match self.ask(&ask).await {
            Err(CvpError::Refused { refusal, .. }) if refusal.status == 404 => {
                Err(CvpError::not_found(kind.name, key, []))
            }
            other => other.map(drop),
        }
    }
}
