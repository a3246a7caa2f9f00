//! How far a student is from its teacher in the distribution of one token: one file per divergence.
//!
//! A divergence is a sum over outcomes of a function of two probabilities, so a file has that function and its derivative.

mod forward_kl;
mod jensen_shannon;
mod reverse_kl;

use crate::plan::DivergencePlan;

/// What one outcome adds to a divergence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DivergenceTerm {
    /// Its share of the divergence, nats.
    pub value: f64,
    /// The derivative of the share by the student's probability.
    pub slope: f64,
}

/// What an outcome adds that the student gives the log-prob `student` and the teacher `teacher`, in nats. The table of
/// divergences: a new one is a file beside this one, a kind in [`DivergencePlan`], and a row here.
pub fn term(plan: &DivergencePlan, student: f64, teacher: f64) -> DivergenceTerm {
    match plan {
        DivergencePlan::ForwardKl => forward_kl::term(student, teacher),
        DivergencePlan::ReverseKl => reverse_kl::term(student, teacher),
        DivergencePlan::JensenShannon { beta } => jensen_shannon::term(*beta, student, teacher),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::assert_derivative;
    use super::*;

    const KINDS: [DivergencePlan; 4] = [
        DivergencePlan::ForwardKl,
        DivergencePlan::ReverseKl,
        DivergencePlan::JensenShannon { beta: 0.5 },
        DivergencePlan::JensenShannon { beta: 0.1 },
    ];

    fn divergence(plan: &DivergencePlan, student: &[f64], teacher: &[f64]) -> f64 {
        let pairs = student.iter().zip(teacher);
        pairs.map(|(student, teacher)| term(plan, student.ln(), teacher.ln()).value).sum()
    }

    /// Worked by hand for the student (1/2, 1/2) and the teacher (3/4, 1/4).
    #[test]
    fn divergences_match_values_computed_by_hand() {
        let found = KINDS.map(|plan| divergence(&plan, &[0.5, 0.5], &[0.75, 0.25]));
        let forward = 0.75 * 1.5_f64.ln() + 0.25 * 0.5_f64.ln();
        let reverse = 0.5 * (2.0_f64 / 3.0).ln() + 0.5 * 2.0_f64.ln();
        // The mixture at β = 1/2 is (5/8, 3/8).
        let teacher = 0.75 * 1.2_f64.ln() + 0.25 * (2.0_f64 / 3.0).ln();
        let student = 0.5 * 0.8_f64.ln() + 0.5 * (4.0_f64 / 3.0).ln();
        let half = 0.5 * teacher + 0.5 * student;
        for (found, expected) in found.iter().zip([forward, reverse, half]) {
            assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        }
    }

    #[test]
    fn a_student_that_is_its_teacher_is_at_no_distance() {
        for plan in KINDS {
            assert!(divergence(&plan, &[0.3, 0.7], &[0.3, 0.7]).abs() < 1e-15, "{plan:?}");
            assert!(divergence(&plan, &[0.2, 0.8], &[0.3, 0.7]) > 1e-3, "{plan:?}");
        }
    }

    #[test]
    fn slopes_are_derivatives_by_the_probability_of_the_student() {
        for plan in KINDS {
            for teacher in [0.001_f64, 0.2, 0.9] {
                for student in [0.01_f64, 0.2, 0.6, 0.99] {
                    let value = |student: f64| term(&plan, student.ln(), teacher.ln()).value;
                    let slope = term(&plan, student.ln(), teacher.ln()).slope;
                    assert_derivative(value, student, slope);
                }
            }
        }
    }
}
