//! What can happen in a run, as journals have it. Values of variables are not in it, and texts of devices only without
//! secrets.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::change::model::Phase;

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// In milliseconds since 1970.
    pub at: u64,
    /// What.
    pub record: Record,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A phase is about to begin; it may have had any effect from now on.
    Begin {
        /// Of what.
        key: Key,
        /// Which.
        phase: Phase,
        /// For rollbacks, the number of the one that is taken.
        #[serde(default)]
        way: usize,
    },
    /// A phase is over.
    End {
        /// Of what.
        key: Key,
        /// Which.
        phase: Phase,
        /// How it ended.
        outcome: Outcome,
        /// How long it took, in milliseconds.
        took: u64,
    },
    /// Something is changed that nobody will undo: a person was told.
    Dirty {
        /// What.
        key: Key,
        /// What the person was told.
        why: String,
    },
    /// Nothing new is begun from now on.
    Stopped {
        /// Why not.
        why: String,
    },
    /// Another process goes on. What was under way has ended somehow.
    Resumed,
    /// Everything that was changed is to be undone.
    Undo,
    /// The run is over, with this exit code.
    Over {
        /// The code.
        exit: u8,
    },
}

/// What a record is about: a change on a device with a row; without a device, a scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The name of the change or scenario.
    pub step: String,
    /// The device.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub device: String,
    /// The number of the row, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    /// Which attempt it is, from 1.
    pub attempt: u32,
}

/// How a phase ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Well.
    Ok {
        /// Whether anything was sent.
        sent: bool,
    },
    /// There is nothing left to do.
    Already,
    /// Not well.
    Failed(Failure),
}

/// What went wrong in a phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Of what kind it was.
    pub kind: Kind,
    /// What went wrong.
    pub message: String,
    /// Whether anything had been sent.
    pub sent: bool,
    /// How the change is undone after this.
    pub way: Way,
    /// The end of what the device said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
}

/// Kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The device could not be reached.
    Connect,
    /// What was asked for was refused before it was begun.
    Refused,
    /// It took too long.
    Timeout,
    /// The session was lost.
    Lost,
    /// A command said that it failed.
    Exit,
    /// A condition is not true.
    Check,
    /// A condition or an expression makes no sense, or a variable has no value.
    Eval,
    /// The operator said no.
    Denied,
    /// The operator gave up this change.
    GivenUp,
    /// The process that did it is gone.
    Interrupted,
    /// We failed.
    Internal,
}

/// How a change is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// By the commands of the rollback of this number.
    Script(usize),
    /// By a person who is told this.
    Alert(String),
    /// Nothing says how.
    None,
}

/// `mtu on sw1 row 2`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.step)?;
        if !self.device.is_empty() {
            write!(f, " on {}", self.device)?;
        }
        match self.row {
            Some(row) => write!(f, " row {}", row + 1),
            None => Ok(()),
        }
    }
}
