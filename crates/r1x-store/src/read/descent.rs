//! Which run comes from which: reproductions, and runs that begin with a checkpoint of another one.

use std::collections::HashMap;
use std::path::Path;

use sqlx::query_as;

use crate::error::StoreError;
use crate::store::Store;
use crate::text::{MaybeText, Text};

/// How a run comes from another one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// By the relation that it was begun with, such as `reproduce`.
    Relation(String),
    /// A model of it begins with, or is, the weights of a checkpoint of the other one.
    Checkpoint,
}

impl Origin {
    /// What a run does that comes from another one, as the end of a sentence about it.
    pub fn sentence(&self) -> &'static str {
        match self {
            Self::Relation(word) if word == "reproduce" => "is a reproduction of it",
            Self::Relation(_) => "was begun from it",
            Self::Checkpoint => "uses the weights of a checkpoint of it",
        }
    }

    /// What is said to the run that comes from another one, behind `run X, which this run`.
    pub(crate) fn sentence_of_child(&self) -> &'static str {
        match self {
            Self::Relation(word) if word == "reproduce" => "is a reproduction of",
            Self::Relation(_) => "was begun from",
            Self::Checkpoint => "uses the weights of",
        }
    }

    /// The word for it in a list.
    pub fn word(&self) -> &str {
        match self {
            Self::Relation(word) => word,
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// A line of descent between two runs of a store.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Descent {
    /// Number of the run that comes from the other one.
    #[serde(skip)]
    pub run_id: i64,
    /// Name of the run that comes from the other one.
    pub run: String,
    /// Identity of the run that comes from the other one.
    pub uid: String,
    /// Name of the other one.
    pub from: String,
    /// Identity of the other one.
    pub from_uid: String,
    /// How.
    pub how: Origin,
}

/// A run that wrote a checkpoint with certain weights.
struct Owner {
    run: String,
    uid: String,
    started_ms: i64,
}

/// Every hash that the plan of a run names and that is one of a recorded checkpoint, with the folder beside it.
const NAMED: &str = "\
SELECT r.run_id, r.name, r.uid, r.started_ms, j.value,
       coalesce(json_extract(s.plan_json, j.path || '.folder'), json_extract(s.plan_json, j.path || '.checkpoint'))
  FROM run r JOIN spec s USING (spec_id), json_tree(s.plan_json) j
 WHERE j.key = 'sha256' AND j.value IN (SELECT sha256 FROM checkpoint)
 ORDER BY r.run_id, j.id";

const OWNERS: &str = "\
SELECT DISTINCT c.sha256, r.name, r.uid, r.started_ms FROM checkpoint c JOIN stage USING (stage_id) JOIN run r USING (run_id)
 ORDER BY r.started_ms, r.run_id";

impl Store {
    /// Every line of descent, in the order of the runs that come from others.
    ///
    /// Weights with one hash may have been written by several runs, such as a run and its reproduction. The one that is
    /// meant is the one in whose folder the plan names a checkpoint, or else the first that wrote them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn descents(&self) -> Result<Vec<Descent>, StoreError> {
        type Related = (i64, Text, Text, Text, Text, Text);
        let related: Vec<Related> = self.reader()?.all(query_as(
            "SELECT r.run_id, r.name, r.uid, p.name, p.uid, r.relation
               FROM run r JOIN run p ON p.run_id = r.parent_run_id ORDER BY r.run_id",
        ))?;
        let line =
            |(run_id, Text(run), Text(uid), Text(from), Text(from_uid), Text(how)): Related| {
                Descent { run_id, run, uid, from, from_uid, how: Origin::Relation(how) }
            };
        let mut lines: Vec<Descent> = related.into_iter().map(line).collect();
        type Named = (i64, Text, Text, i64, Text, MaybeText);
        let named: Vec<Named> = self.reader()?.all(query_as(NAMED))?;
        if named.is_empty() {
            return Ok(lines);
        }
        let mut owners: HashMap<String, Vec<Owner>> = HashMap::new();
        let written: Vec<(Text, Text, Text, i64)> = self.reader()?.all(query_as(OWNERS))?;
        for (Text(sha256), Text(run), Text(uid), started_ms) in written {
            owners.entry(sha256).or_default().push(Owner { run, uid, started_ms });
        }
        for (run_id, Text(run), Text(uid), started_ms, Text(sha256), MaybeText(folder)) in named {
            // Nobody begins with weights that are written later.
            let earlier = |owner: &&Owner| owner.uid != uid && owner.started_ms <= started_ms;
            let others: Vec<&Owner> =
                owners.get(&sha256).into_iter().flatten().filter(earlier).collect();
            let is_in = |owner: &&&Owner| {
                let parts = folder.iter().flat_map(|folder| Path::new(folder).components());
                parts.map(|part| part.as_os_str()).any(|part| part == owner.run.as_str())
            };
            let Some(owner) = others.iter().find(is_in).or(others.first()) else { continue };
            let (from, from_uid) = (owner.run.clone(), owner.uid.clone());
            let how = Origin::Checkpoint;
            let line = Descent { run_id, run, uid, from, from_uid, how };
            let is_known =
                |other: &Descent| other.uid == line.uid && other.from_uid == line.from_uid;
            if !lines.iter().any(is_known) {
                lines.push(line);
            }
        }
        Ok(lines)
    }
}
