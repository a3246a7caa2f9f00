//! Learning-rate schedules: the multiplier of the peak at a step, one file per shape.

mod constant;
mod cosine;
mod linear;

use crate::plan::{ScheduleKind, SchedulePlan};

/// Multiplier of the peak learning rate at `step` (from 0) of a stage of `steps`.
///
/// The warm-up rises in equal parts and its last step is at the peak: with `warmup_steps` 4 the first four
/// multipliers are ¼, ½, ¾, 1, so no step is spent at rate 0. The decay starts at the peak on the next step
/// and would reach `final_ratio` at step `steps`, one past the last: the end of the stage, not an update
/// wasted at it.
pub fn multiplier(plan: &SchedulePlan, step: u64, steps: u64) -> f64 {
    if step < plan.warmup_steps {
        return (step + 1) as f64 / plan.warmup_steps as f64;
    }
    let length = steps.saturating_sub(plan.warmup_steps);
    let progress = if length == 0 {
        1.0
    } else {
        ((step - plan.warmup_steps) as f64 / length as f64).min(1.0)
    };
    let above_final = match plan.kind {
        ScheduleKind::Constant => constant::share(progress),
        ScheduleKind::Linear => linear::share(progress),
        ScheduleKind::Cosine => cosine::share(progress),
    };
    plan.final_ratio + (1.0 - plan.final_ratio) * above_final
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(kind: ScheduleKind, warmup_steps: u64, final_ratio: f64, steps: u64) -> Vec<f64> {
        let plan = SchedulePlan { kind, warmup_steps, final_ratio };
        (0..=steps).map(|step| multiplier(&plan, step, steps)).collect()
    }

    fn assert_close(got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() < 1e-12, "{got} is not {want}");
        }
    }

    #[test]
    fn courses_match_values_computed_by_hand() {
        assert_close(&course(ScheduleKind::Constant, 2, 0.1, 4), &[0.5, 1.0, 1.0, 1.0, 1.0]);
        assert_close(
            &course(ScheduleKind::Linear, 2, 0.1, 6),
            &[0.5, 1.0, 1.0, 0.775, 0.55, 0.325, 0.1],
        );
        let quarter = 0.1 + 0.9 * 0.5 * (1.0 + std::f64::consts::FRAC_1_SQRT_2);
        assert_close(
            &course(ScheduleKind::Cosine, 0, 0.1, 4),
            &[1.0, quarter, 0.55, 1.1 - quarter, 0.1],
        );
    }

    #[test]
    fn a_warm_up_as_long_as_the_stage_and_steps_past_the_end_are_defined() {
        let plan = SchedulePlan { kind: ScheduleKind::Linear, warmup_steps: 4, final_ratio: 0.0 };
        assert_eq!(multiplier(&plan, 3, 4), 1.0);
        assert_eq!(multiplier(&plan, 4, 4), 0.0);
        assert_eq!(multiplier(&plan, 99, 8), 0.0);
    }

    #[test]
    fn a_decay_never_rises_and_never_falls_below_its_end() {
        for kind in [ScheduleKind::Linear, ScheduleKind::Cosine] {
            let course = course(kind, 3, 0.2, 40);
            for pair in course[2..].windows(2) {
                assert!(pair[1] <= pair[0] && pair[1] >= 0.2 - 1e-12);
            }
        }
    }
}
