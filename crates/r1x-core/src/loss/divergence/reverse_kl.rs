//! KL(student ‖ teacher): the student is to give no mass to what the teacher gives none to.
//!
//! Source: Gu et al. 2023, "MiniLLM: Knowledge Distillation of Large Language Models", arXiv 2306.08543.

use super::DivergenceTerm;

/// p · (log p − log q), for p of the student and q of the teacher.
pub(super) fn term(student: f64, teacher: f64) -> DivergenceTerm {
    let difference = student - teacher;
    DivergenceTerm { value: student.exp() * difference, slope: difference + 1.0 }
}
