//! The kinds of single values that only distillation has.

use serde::Serialize;

use crate::read::words;

/// How far two distributions are from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DivergenceWord {
    /// KL(teacher ‖ student).
    ForwardKl,
    /// KL(student ‖ teacher).
    ReverseKl,
    /// Both against their mixture.
    JensenShannon,
}

words!(DivergenceWord {
    "forward_kl" => ForwardKl, "KL(teacher ‖ student): the student covers all that the teacher does";
    "reverse_kl" => ReverseKl, "KL(student ‖ teacher): the student keeps to what the teacher finds likely";
    "jensen_shannon" => JensenShannon, "both against their mixture, of which `beta` is the teacher (GKD)";
});
