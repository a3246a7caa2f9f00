//! Checkpoints as a run sees them: why one is made, and what it is called.
//!
//! Names are made and read here, so that whoever keeps, shows or removes checkpoints agrees with whoever makes them.

/// Why a checkpoint is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointKind {
    /// So many steps have passed. Older ones of this kind are removed, as the plan says.
    Step,
    /// A stage has ended.
    Stage,
    /// The run was asked to stop.
    Interrupt,
}

impl CheckpointKind {
    /// The word used in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckpointKind::Step => "step",
            CheckpointKind::Stage => "stage",
            CheckpointKind::Interrupt => "interrupt",
        }
    }

    /// The path of a checkpoint in the folder of its run: a folder for the stage, and in it one for the checkpoint.
    pub fn path(self, stage_id: &str, step: u64) -> String {
        match self {
            CheckpointKind::Step => format!("{stage_id}/step-{step:06}"),
            CheckpointKind::Stage => format!("{stage_id}/final"),
            CheckpointKind::Interrupt => format!("{stage_id}/interrupt-{step:06}"),
        }
    }

    /// The steps after which a checkpoint of the kind [`CheckpointKind::Step`] was made, by the name of its folder;
    /// `None` for every other name.
    pub fn periodic_step(folder_name: &str) -> Option<u64> {
        folder_name.strip_prefix("step-")?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_periodic_checkpoints_say_their_step() {
        for step in [0, 7, 999_999, 1_000_000] {
            let path = CheckpointKind::Step.path("rl", step);
            let name = path.strip_prefix("rl/").unwrap();
            assert_eq!(CheckpointKind::periodic_step(name), Some(step), "{path}");
        }
        for kind in [CheckpointKind::Stage, CheckpointKind::Interrupt] {
            let path = kind.path("rl", 7);
            assert_eq!(CheckpointKind::periodic_step(path.strip_prefix("rl/").unwrap()), None);
        }
        assert_eq!(CheckpointKind::periodic_step("step-000007.partial"), None);
    }
}
