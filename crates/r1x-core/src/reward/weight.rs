//! A reward's weight at a step of a stage: constant, by a schedule, or on straight lines between points.

use crate::plan::{CoursePlan, RewardPlan, WeightPoint};
use crate::schedule::multiplier;

/// The weight at `step` (from 0) of a stage of `steps`.
pub fn weight(reward: &RewardPlan, step: u64, steps: u64) -> f64 {
    match &reward.shaping.course {
        None => reward.weight,
        Some(CoursePlan::Schedule(schedule)) => reward.weight * multiplier(schedule, step, steps),
        Some(CoursePlan::Points(points)) => between(points, step).unwrap_or(reward.weight),
    }
}

/// Before the first point its weight holds, after the last that one's.
fn between(points: &[WeightPoint], step: u64) -> Option<f64> {
    let after = points.iter().position(|point| point.step > step);
    match after {
        None => points.last().map(|last| last.weight),
        Some(0) => points.first().map(|first| first.weight),
        Some(after) => {
            let (from, to) = (points[after - 1], points[after]);
            let way = (step - from.step) as f64 / (to.step - from.step) as f64;
            Some(from.weight + (to.weight - from.weight) * way)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{ScheduleKind, SchedulePlan, ShapingPlan};
    use crate::testing;

    fn course(course: Option<CoursePlan>, peak: f64, steps: u64) -> Vec<f64> {
        let shaping = ShapingPlan { course, ..Default::default() };
        let reward = RewardPlan { weight: peak, shaping, ..testing::reward("a") };
        (0..steps).map(|step| weight(&reward, step, steps)).collect()
    }

    #[test]
    fn courses_match_values_computed_by_hand() {
        assert_eq!(course(None, 0.5, 3), [0.5, 0.5, 0.5]);
        let schedule =
            SchedulePlan { kind: ScheduleKind::Linear, warmup_steps: 2, final_ratio: 0.0 };
        assert_eq!(
            course(Some(CoursePlan::Schedule(schedule)), 2.0, 6),
            [1.0, 2.0, 2.0, 1.5, 1.0, 0.5]
        );
        let points = [(1, 0.0), (3, 1.0), (4, -1.0)];
        let points = points.map(|(step, weight)| WeightPoint { step, weight }).to_vec();
        let expected = [0.0, 0.0, 0.5, 1.0, -1.0, -1.0];
        assert_eq!(course(Some(CoursePlan::Points(points)), 9.0, 6), expected);
    }
}
