//! Workspaces, and the tags that are edited in them. What is merged is seen by all, what is not only in its workspace.

use serde::{Deserialize, Serialize};

use super::{
    clock::Ms,
    refused::{About, Refused, Why},
    state::Model,
};

/// A set of edits.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Workspace {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) state: Stage,
    pub(crate) created_by: String,
    pub(crate) created_at: Ms,
    pub(crate) changed_at: Ms,
    /// Builds that were asked for, oldest first.
    pub(crate) builds: Vec<Build>,
    /// Whether something was edited since it was built.
    pub(crate) dirty: bool,
}

/// A look at whether edits fit together.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Build {
    pub(crate) id: String,
    pub(crate) done: bool,
    /// What does not fit; nothing, if all does.
    pub(crate) error: String,
}

impl Build {
    fn is_good(&self) -> bool {
        self.done && self.error.is_empty()
    }
}

impl Workspace {
    /// Whether its last edits were built and fit.
    fn is_built(&self) -> bool {
        !self.dirty && self.builds.last().is_some_and(Build::is_good)
    }
}

/// What is to be done with a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Nothing,
    Build,
    Submit,
    Abandon,
    RollBack,
}

impl Wish {
    fn of(word: &str) -> Result<Self, Refused> {
        Ok(match word.strip_prefix("REQUEST_").unwrap_or(word) {
            "" | "UNSPECIFIED" => Self::Nothing,
            "START_BUILD" => Self::Build,
            "SUBMIT" => Self::Submit,
            "ABANDON" => Self::Abandon,
            "ROLLBACK" => Self::RollBack,
            _ => return Err(Refused::invalid(About::Resource, format!("request {word}"))),
        })
    }
}

/// How far a workspace is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    #[default]
    Pending,
    Submitted,
    Abandoned,
    RolledBack,
}

impl Stage {
    /// As the portal writes it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Pending => "WORKSPACE_STATE_PENDING",
            Self::Submitted => "WORKSPACE_STATE_SUBMITTED",
            Self::Abandoned => "WORKSPACE_STATE_ABANDONED",
            Self::RolledBack => "WORKSPACE_STATE_ROLLED_BACK",
        }
    }
}

/// A label with a value, and in which workspace it was edited; an empty workspace: it is merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tag {
    pub(crate) workspace: String,
    pub(crate) kind: String,
    pub(crate) label: String,
    pub(crate) value: String,
    /// Whether the edit takes it away.
    pub(crate) remove: bool,
}

/// A tag put on a device, or on an interface of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assignment {
    pub(crate) tag: Tag,
    pub(crate) device: String,
    pub(crate) interface: String,
}

impl Model {
    /// Makes a workspace, changes its words, or does what is requested.
    pub(crate) fn set_workspace(
        &mut self,
        user: &str,
        id: &str,
        words: (Option<&str>, Option<&str>),
        request: (&str, &str),
    ) -> Result<(), Refused> {
        if id.is_empty() {
            return Err(Refused::invalid(About::Resource, "key.workspaceId is empty"));
        }
        let wish = Wish::of(request.0)?;
        let known = self.workspaces.get(id);
        let wrong = |text: String| Refused::new(About::Resource, Why::State, text);
        if let Some(known) = known.filter(|known| known.state != Stage::Pending) {
            return Err(wrong(format!("workspace {id} is {}", known.state.words())));
        }
        if wish == Wish::Submit && !known.is_some_and(Workspace::is_built) {
            return Err(wrong(format!("workspace {id} has no good build of its last edits")));
        }
        let at = self.clock.stamp();
        let workspace = self.workspaces.entry(id.to_owned()).or_insert_with(|| Workspace {
            created_by: user.to_owned(),
            created_at: at,
            dirty: true,
            ..Workspace::default()
        });
        for (field, word) in [(&mut workspace.name, words.0), (&mut workspace.description, words.1)] {
            if let Some(word) = word {
                word.clone_into(field);
            }
        }
        workspace.changed_at = at;
        match wish {
            Wish::Nothing => {}
            Wish::Build => {
                workspace.builds.push(Build { id: request.1.to_owned(), ..Build::default() });
                workspace.dirty = false;
                self.jobs.push(super::job::Job::Wake);
            }
            Wish::Submit => {
                workspace.state = Stage::Submitted;
                self.merge(id);
            }
            Wish::Abandon => workspace.state = Stage::Abandoned,
            Wish::RollBack => workspace.state = Stage::RolledBack,
        }
        Ok(())
    }

    /// Edits a tag in a workspace.
    pub(crate) fn edit_tag(&mut self, tag: Tag) -> Result<(), Refused> {
        self.touch(&tag.workspace)?;
        self.tags.retain(|known| !known.same(&tag));
        self.tags.push(tag);
        Ok(())
    }

    /// Edits where a tag is put.
    pub(crate) fn edit_assignment(&mut self, assignment: Assignment) -> Result<(), Refused> {
        self.touch(&assignment.tag.workspace)?;
        self.assignments.retain(|known| !known.same(&assignment));
        self.assignments.push(assignment);
        Ok(())
    }

    fn touch(&mut self, id: &str) -> Result<(), Refused> {
        let workspace = self.workspaces.get_mut(id).filter(|workspace| workspace.state == Stage::Pending);
        let text = || Refused::new(About::Resource, Why::State, format!("there is no open workspace {id}"));
        workspace.ok_or_else(text)?.dirty = true;
        Ok(())
    }

    fn merge(&mut self, id: &str) {
        let tags: Vec<Tag> = self.tags.iter().filter(|tag| tag.workspace == id).cloned().collect();
        for mut tag in tags {
            tag.workspace = String::new();
            self.tags.retain(|known| !known.same(&tag));
            if !tag.remove {
                self.tags.push(tag);
            }
        }
        let assigned: Vec<Assignment> =
            self.assignments.iter().filter(|a| a.tag.workspace == id).cloned().collect();
        for mut assignment in assigned {
            assignment.tag.workspace = String::new();
            self.assignments.retain(|known| !known.same(&assignment));
            if !assignment.tag.remove {
                self.assignments.push(assignment);
            }
        }
    }

    pub(super) fn tick_workspaces(&mut self) {
        let is_open = |workspace: &Workspace| workspace.builds.iter().any(|build| !build.done);
        let open: Vec<String> =
            self.workspaces.iter().filter(|(_, one)| is_open(one)).map(|(id, _)| id.clone()).collect();
        for id in open {
            let error = self.misfits(&id).join("; ");
            let builds = self.workspaces.get_mut(&id).map(|workspace| &mut workspace.builds);
            for build in builds.into_iter().flatten().filter(|build| !build.done) {
                build.done = true;
                build.error.clone_from(&error);
            }
        }
    }

    /// What of a workspace's edits does not fit what there is.
    fn misfits(&self, id: &str) -> Vec<String> {
        let edits = self.assignments.iter().filter(|one| one.tag.workspace == id && !one.tag.remove);
        let misfit = |one: &Assignment| {
            if self.device_by_serial(&one.device).is_none() {
                return Some(format!("there is no device {}", one.device));
            }
            let is_there = |known: &Tag| {
                let here = known.workspace == id || known.workspace.is_empty();
                let same = Tag { workspace: one.tag.workspace.clone(), ..known.clone() }.same(&one.tag);
                here && same && !known.remove
            };
            let text = || format!("there is no tag {}:{}", one.tag.label, one.tag.value);
            (!self.tags.iter().any(is_there)).then(text)
        };
        edits.filter_map(misfit).collect()
    }
}

impl Tag {
    fn same(&self, other: &Self) -> bool {
        let key = |tag: &Self| [&tag.workspace, &tag.kind, &tag.label, &tag.value].map(String::clone);
        key(self) == key(other)
    }
}

impl Assignment {
    fn same(&self, other: &Self) -> bool {
        self.tag.same(&other.tag) && self.device == other.device && self.interface == other.interface
    }
}
