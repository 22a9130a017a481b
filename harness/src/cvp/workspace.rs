//! Workspaces: sets of edits that are built, looked at and merged as one.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ask::Ask,
    client::{Client, Values, or_default},
    error::CvpError,
    version::Level,
};
use crate::base::{
    id::random_uuid,
    wait::{Deadline, Pauses},
};

/// A workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// What the portal calls it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// How far it is.
    pub state: WorkspaceState,
    /// Whether something was edited since it was built.
    pub needs_build: bool,
    /// The change controls that its submission made.
    pub change_controls: Vec<String>,
}

/// How far a workspace is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkspaceState {
    /// It is open: edits are seen in it alone.
    Pending,
    /// Its edits are merged.
    Submitted,
    /// Its edits are given up.
    Abandoned,
    /// Others have merged what its edits contradict.
    Conflicts,
    /// What it merged is taken back.
    RolledBack,
    /// Something else, in the portal's word.
    Other(String),
}

impl From<&str> for WorkspaceState {
    fn from(word: &str) -> Self {
        match word.trim_start_matches("WORKSPACE_STATE_") {
            "PENDING" => Self::Pending,
            "SUBMITTED" => Self::Submitted,
            "ABANDONED" => Self::Abandoned,
            "CONFLICTS" => Self::Conflicts,
            "ROLLED_BACK" => Self::RolledBack,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// A workspace, as it is told.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    key: Key,
    #[serde(default, deserialize_with = "or_default")]
    display_name: String,
    #[serde(default, deserialize_with = "or_default")]
    description: String,
    #[serde(default, deserialize_with = "or_default")]
    state: String,
    #[serde(default, deserialize_with = "or_default")]
    needs_build: bool,
    #[serde(default, deserialize_with = "or_default")]
    cc_ids: Values<Vec<String>>,
    /// What became of requests, by their ids.
    #[serde(default, deserialize_with = "or_default")]
    responses: Values<BTreeMap<String, Response>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    workspace_id: String,
}

#[derive(Debug, Default, Deserialize)]
struct Response {
    #[serde(default, deserialize_with = "or_default")]
    status: String,
    #[serde(default, deserialize_with = "or_default")]
    message: String,
}

impl From<Read> for Workspace {
    fn from(read: Read) -> Self {
        Self {
            id: read.key.workspace_id,
            name: read.display_name,
            description: read.description,
            state: WorkspaceState::from(read.state.as_str()),
            needs_build: read.needs_build,
            change_controls: read.cc_ids.values,
        }
    }
}

const CONFIG: &str = "/api/resources/workspace/v1/WorkspaceConfig";
const READ: &str = "/api/resources/workspace/v1/Workspace";
const BUILD: &str = "/api/resources/workspace/v1/WorkspaceBuild";
/// The shortest and the longest pause between two looks.
const PAUSES: Pauses = Pauses::between(Duration::from_millis(100), Duration::from_secs(3));

impl Client {
    /// All workspaces.
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses.
    pub async fn workspaces(&self) -> Result<Vec<Workspace>, CvpError> {
        let what = "list the workspaces";
        self.require_workspaces(what).await?;
        let all = self.values::<Read>(Ask::get(what, format!("{READ}/all"))).await?;
        Ok(all.into_iter().map(Workspace::from).collect())
    }

    /// The workspace of this id, if there is one.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn workspace(&self, id: &str) -> Result<Option<Workspace>, CvpError> {
        Ok(self.read_workspace(id).await?.map(Workspace::from))
    }

    async fn read_workspace(&self, id: &str) -> Result<Option<Read>, CvpError> {
        let ask = Ask::get(format!("look up the workspace {id}"), READ);
        self.value(&ask.query("key.workspaceId", id)).await
    }

    pub(super) async fn require_workspaces(&self, what: &str) -> Result<(), CvpError> {
        self.require(Level::RESOURCES, what, "portals from 2021.2 on do").await
    }

    /// Opens a workspace.
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses.
    pub async fn add_workspace(&self, name: &str, description: &str) -> Result<Workspace, CvpError> {
        let what = format!("open the workspace `{name}`");
        self.require_workspaces(&what).await?;
        let id = random_uuid();
        let body = json!({
            "key": { "workspaceId": id }, "displayName": name, "description": description,
        });
        // The id is ours: a second one changes nothing.
        self.ask(&Ask::post(what, CONFIG, body).repeatable()).await?;
        let made = self.workspace(&id).await?;
        made.ok_or_else(|| CvpError::not_found("workspace", name, []))
    }

    /// Has the portal look whether the edits of a workspace fit together, and waits for what it finds.
    ///
    /// # Errors
    /// [`CvpError::Failed`] with what does not fit; [`CvpError::Late`]; the portal cannot be asked, or refuses.
    pub async fn build_workspace(&self, id: &str, limit: Duration) -> Result<(), CvpError> {
        #[derive(Deserialize)]
        struct Build {
            #[serde(default, deserialize_with = "or_default")]
            state: String,
            #[serde(default, deserialize_with = "or_default")]
            error: String,
        }
        let what = format!("build the workspace {id}");
        let deadline = Deadline::within(limit);
        let request = self.request(&what, id, "START_BUILD").await?;
        let look = Ask::get(&what, BUILD).query("key.workspaceId", id).query("key.buildId", &request);
        let mut pauses = PAUSES;
        loop {
            // It may take a moment until there is one.
            let build: Option<Build> = self.value(&look).await?;
            let (state, error) = build.map(|build| (build.state, build.error)).unwrap_or_default();
            match state.trim_start_matches("BUILD_STATE_") {
                "SUCCESS" | "SKIPPED" => return Ok(()),
                "FAIL" => {
                    let why = if error.is_empty() { "the portal does not say why".to_owned() } else { error };
                    return Err(CvpError::Failed { what, why });
                }
                "CANCELED" => return Err(CvpError::Failed { what, why: "somebody cancelled it".to_owned() }),
                _ => {}
            }
            if deadline.passed() {
                let what = format!("the build of the workspace {id}");
                return Err(CvpError::Late {
                    what,
                    limit,
                    seen: if state.is_empty() { "no build".into() } else { state },
                });
            }
            pauses.pause(deadline).await;
        }
    }

    /// Merges what was edited in a workspace that is built, and waits until that is done. What the portal has to do on
    /// devices for it are the change controls of the workspace that is returned.
    ///
    /// # Errors
    /// [`CvpError::Failed`] with what the portal says; [`CvpError::Late`]; the portal cannot be asked, or refuses: it is
    /// not built.
    pub async fn submit_workspace(&self, id: &str, limit: Duration) -> Result<Workspace, CvpError> {
        self.close(id, ("submit", "SUBMIT", WorkspaceState::Submitted), limit).await
    }

    /// Gives up what was edited in a workspace.
    ///
    /// # Errors
    /// [`CvpError::Failed`] with what the portal says; [`CvpError::Late`]; the portal cannot be asked, or refuses: it is
    /// not open any more.
    pub async fn abandon_workspace(&self, id: &str, limit: Duration) -> Result<Workspace, CvpError> {
        self.close(id, ("abandon", "ABANDON", WorkspaceState::Abandoned), limit).await
    }

    /// Requests an end and waits for it.
    async fn close(
        &self,
        id: &str,
        (verb, word, end): (&str, &str, WorkspaceState),
        limit: Duration,
    ) -> Result<Workspace, CvpError> {
        let what = format!("{verb} the workspace {id}");
        let deadline = Deadline::within(limit);
        let request = self.request(&what, id, word).await?;
        let mut pauses = PAUSES;
        loop {
            let found = self.read_workspace(id).await?;
            let mut found = found.ok_or_else(|| CvpError::not_found("workspace", id, []))?;
            let response = found.responses.values.remove(&request).unwrap_or_default();
            let workspace = Workspace::from(found);
            if workspace.state == end {
                return Ok(workspace);
            }
            let has_failed = response.status.ends_with("_FAIL");
            if has_failed || workspace.state == WorkspaceState::Conflicts {
                let why = format!("{} (it is {:?})", response.message, workspace.state);
                return Err(CvpError::Failed { what, why: why.trim().to_owned() });
            }
            if deadline.passed() {
                let seen = format!("{:?}", workspace.state);
                return Err(CvpError::Late { what: format!("the request to {what}"), limit, seen });
            }
            pauses.pause(deadline).await;
        }
    }

    /// Requests something of a workspace; the id of the request. Asked twice with the same id, it is one request.
    async fn request(&self, what: &str, id: &str, word: &str) -> Result<String, CvpError> {
        self.require_workspaces(what).await?;
        let request = random_uuid();
        let body: Value = json!({
            "key": { "workspaceId": id }, "request": format!("REQUEST_{word}"),
            "requestParams": { "requestId": request },
        });
        self.ask(&Ask::post(what, CONFIG, body)).await?;
        Ok(request)
    }
}
