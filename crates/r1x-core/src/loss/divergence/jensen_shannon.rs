//! The generalised Jensen-Shannon divergence: both are compared with their mixture, so that it stays finite wherever either
//! has no mass.
//!
//! Source: Agarwal et al. 2023, "On-Policy Distillation of Language Models: Learning from Self-Generated Mistakes", arXiv
//! 2306.13649, equation 1.

use super::DivergenceTerm;

/// β · q · log(q/m) + (1 − β) · p · log(p/m), for p of the student, q of the teacher and their mixture
/// m = β · q + (1 − β) · p.
pub(super) fn term(beta: f64, student: f64, teacher: f64) -> DivergenceTerm {
    let (p, q) = (student.exp(), teacher.exp());
    let mixture = (beta * q + (1.0 - beta) * p).ln();
    // 0 · log 0 is 0.
    let share = |mass: f64, log: f64| if mass > 0.0 { mass * (log - mixture) } else { 0.0 };
    let value = beta * share(q, teacher) + (1.0 - beta) * share(p, student);
    // The derivatives of the mixture cancel.
    DivergenceTerm { value, slope: (1.0 - beta) * (student - mixture) }
}
