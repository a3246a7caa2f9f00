//! Where a run is.

/// Where a run is; saved with a checkpoint. A stage is named by its id, which stays when stages are added before it.
/// All chance is addressed by position, so this is the whole
/// state of the random streams and of the data cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cursor {
    /// Id of the stage to go on with; `None` at the very beginning, before what is evaluated at the start.
    pub stage: Option<String>,
    /// Steps of that stage already done.
    pub step: u64,
    /// Problems drawn so far in that stage.
    pub drawn: u64,
}

impl Cursor {
    /// After `step` steps of a stage, with so many problems drawn.
    pub fn at(stage_id: &str, step: u64, drawn: u64) -> Self {
        Self { stage: Some(stage_id.to_owned()), step, drawn }
    }
}
