//! Tags: labels with values on devices and their interfaces. They are edited in a workspace, and hold for all once that is
//! submitted.

use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ask::Ask,
    client::{Client, or_default},
    error::CvpError,
};

/// What a tag is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// Devices.
    Device,
    /// Interfaces of devices.
    Interface,
}

impl Element {
    fn word(self) -> &'static str {
        match self {
            Self::Device => "ELEMENT_TYPE_DEVICE",
            Self::Interface => "ELEMENT_TYPE_INTERFACE",
        }
    }
}

/// A label with a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag {
    /// What it is for.
    pub element: Element,
    /// The label, such as `rack`.
    pub label: String,
    /// The value.
    pub value: String,
}

impl Tag {
    /// A tag of devices.
    #[must_use]
    pub fn of_device(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self { element: Element::Device, label: label.into(), value: value.into() }
    }
}

/// `label:value`, as the portal's page shows it.
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.label, self.value)
    }
}

/// A tag on a device or on an interface of one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TagAssignment {
    /// The tag.
    pub tag: Tag,
    /// Serial number of the device.
    pub device: String,
    /// The interface; empty for the device itself.
    pub interface: String,
}

/// An edit in a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TagEdit<T> {
    /// What is edited.
    pub what: T,
    /// Whether it is taken away.
    pub is_removal: bool,
}

/// Either, as it is told.
#[derive(Deserialize)]
struct Read {
    key: Key,
    #[serde(default, deserialize_with = "or_default")]
    remove: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    #[serde(default, deserialize_with = "or_default")]
    workspace_id: String,
    #[serde(default, deserialize_with = "or_default")]
    element_type: String,
    #[serde(default, deserialize_with = "or_default")]
    label: String,
    #[serde(default, deserialize_with = "or_default")]
    value: String,
    #[serde(default, deserialize_with = "or_default")]
    device_id: String,
    #[serde(default, deserialize_with = "or_default")]
    interface_id: String,
}

impl From<Key> for TagAssignment {
    fn from(key: Key) -> Self {
        let is_interface = key.element_type == Element::Interface.word();
        let element = if is_interface { Element::Interface } else { Element::Device };
        Self {
            tag: Tag { element, label: key.label, value: key.value },
            device: key.device_id,
            interface: key.interface_id,
        }
    }
}

fn place(name: &str) -> String {
    format!("/api/resources/tag/v2/{name}")
}

/// What is merged and seen by all: in no workspace.
fn is_merged(read: &Read) -> bool {
    read.key.workspace_id.is_empty()
}

impl Client {
    /// All tags that hold; those of edits that are not merged are in their workspaces alone.
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses.
    pub async fn tags(&self) -> Result<Vec<Tag>, CvpError> {
        let all = self.read_tags("list the tags", "Tag", json!({})).await?;
        Ok(all.into_iter().filter(is_merged).map(|read| TagAssignment::from(read.key).tag).collect())
    }

    /// Which tags are on which devices and interfaces, of those that hold.
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses.
    pub async fn tag_assignments(&self) -> Result<Vec<TagAssignment>, CvpError> {
        let all = self.read_tags("look what is tagged", "TagAssignment", json!({})).await?;
        Ok(all.into_iter().filter(is_merged).map(|read| read.key.into()).collect())
    }

    /// Tags that are made or removed in a workspace.
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses.
    pub async fn tag_edits(&self, workspace: &str) -> Result<Vec<TagEdit<Tag>>, CvpError> {
        let edits = self.edits_of(workspace, "TagConfig").await?;
        let edit =
            |edit: TagEdit<TagAssignment>| TagEdit { what: edit.what.tag, is_removal: edit.is_removal };
        Ok(edits.into_iter().map(edit).collect())
    }

    /// Tags that are put on something or taken off it in a workspace.
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses.
    pub async fn tag_assignment_edits(
        &self,
        workspace: &str,
    ) -> Result<Vec<TagEdit<TagAssignment>>, CvpError> {
        self.edits_of(workspace, "TagAssignmentConfig").await
    }

    /// Makes a tag in an open workspace.
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses: the workspace is not open.
    pub async fn add_tag(&self, workspace: &str, tag: &Tag) -> Result<(), CvpError> {
        self.edit(format!("make the tag {tag}"), "TagConfig", key(workspace, tag), false).await
    }

    /// Removes a tag in an open workspace.
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses: the workspace is not open.
    pub async fn remove_tag(&self, workspace: &str, tag: &Tag) -> Result<(), CvpError> {
        self.edit(format!("remove the tag {tag}"), "TagConfig", key(workspace, tag), true).await
    }

    /// Puts a tag on a device or an interface, in an open workspace.
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses: the workspace is not open.
    pub async fn assign_tag(&self, workspace: &str, to: &TagAssignment) -> Result<(), CvpError> {
        let what = format!("put the tag {} on {}", to.tag, to.device);
        self.edit(what, "TagAssignmentConfig", assignment_key(workspace, to), false).await
    }

    /// Takes a tag off a device or an interface, in an open workspace.
    ///
    /// # Errors
    /// [`CvpError::NotInThisVersion`]; the portal cannot be asked, or refuses: the workspace is not open.
    pub async fn unassign_tag(&self, workspace: &str, from: &TagAssignment) -> Result<(), CvpError> {
        let what = format!("take the tag {} off {}", from.tag, from.device);
        self.edit(what, "TagAssignmentConfig", assignment_key(workspace, from), true).await
    }

    async fn edit(&self, what: String, name: &str, key: Value, remove: bool) -> Result<(), CvpError> {
        self.require_workspaces(&what).await?;
        let body = json!({ "key": key, "remove": remove });
        self.ask(&Ask::post(what, place(name), body).repeatable()).await.map(drop)
    }

    async fn edits_of(&self, workspace: &str, name: &str) -> Result<Vec<TagEdit<TagAssignment>>, CvpError> {
        let what = format!("look what the workspace {workspace} tags");
        let filter = json!({ "partialEqFilter": [{ "key": { "workspaceId": workspace } }] });
        let all = self.read_tags(&what, name, filter).await?;
        let edit = |read: Read| TagEdit { is_removal: read.remove, what: read.key.into() };
        Ok(all.into_iter().filter(|read| read.key.workspace_id == workspace).map(edit).collect())
    }

    async fn read_tags(&self, what: &str, name: &str, filter: Value) -> Result<Vec<Read>, CvpError> {
        self.require_workspaces(what).await?;
        self.values(Ask::post(what, place(&format!("{name}/all")), filter).repeatable()).await
    }
}

fn key(workspace: &str, tag: &Tag) -> Value {
    json!({
        "workspaceId": workspace, "elementType": tag.element.word(), "label": tag.label, "value": tag.value,
    })
}

fn assignment_key(workspace: &str, assignment: &TagAssignment) -> Value {
    let mut key = key(workspace, &assignment.tag);
    if let Some(key) = key.as_object_mut() {
        key.insert("deviceId".to_owned(), assignment.device.clone().into());
        key.insert("interfaceId".to_owned(), assignment.interface.clone().into());
    }
    key
}
