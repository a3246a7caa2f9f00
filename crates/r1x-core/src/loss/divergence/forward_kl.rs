//! KL(teacher ‖ student): the student is to give mass to whatever the teacher gives mass to.
//!
//! Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531 (the cross-entropy with soft
//! targets, which is this divergence up to the entropy of the teacher).

use super::DivergenceTerm;

/// q · (log q − log p), for p of the student and q of the teacher.
pub(super) fn term(student: f64, teacher: f64) -> DivergenceTerm {
    let mass = teacher.exp();
    DivergenceTerm { value: mass * (teacher - student), slope: -(teacher - student).exp() }
}
