//! Looks out for reinforcement that teaches nothing: step after step in which every group earns the same.
//!
//! Must not change a run; it only says so, once a stage.

use r1x_core::StepFacts;

use crate::notice::Notice;

/// Steps in a row without a signal before a word is said; all of them where a stage has fewer.
const PATIENCE: u64 = 20;

/// Watches the steps of one stage after the other.
#[derive(Clone, Debug, Default)]
pub struct SignalWatch {
    /// The name of the run.
    run: String,
    stage: String,
    patience: u64,
    silent: u64,
    told: bool,
}

impl SignalWatch {
    /// Watches a run of this name.
    pub fn of(run: &str) -> Self {
        Self { run: run.to_owned(), ..Self::default() }
    }

    /// A stage of so many steps begins.
    pub fn stage(&mut self, id: &str, steps: u64) {
        let run = std::mem::take(&mut self.run);
        *self =
            Self { run, stage: id.to_owned(), patience: PATIENCE.min(steps), ..Self::default() };
    }

    /// Sees a step; says something when there was no signal for too long.
    pub fn step(&mut self, facts: &StepFacts) -> Option<Notice> {
        let metric = |name: &str| facts.metrics.iter().find(|(known, _)| known == name);
        let (_, zero_signal) = metric("zero_signal")?;
        if *zero_signal < 1.0 {
            self.silent = 0;
            return None;
        }
        self.silent += 1;
        if self.told || self.silent < self.patience {
            return None;
        }
        self.told = true;
        let earned = match metric("reward.mean") {
            Some((_, mean)) => format!("the mean reward is {mean}"),
            None => "no rollout has a reward".to_owned(),
        };
        Some(Notice::new(
            format!(
                "stage `{}`: the last {} steps taught nothing, because in every group all rollouts earned the same \
                 (up to step {}; {earned})",
                self.stage, self.silent, facts.step
            ),
            format!(
                "`r1x show {}@{}.0` shows what was written and earned; warm up on worked examples (a stage `sft`), \
                 take easier problems, or raise `group_size` or the temperature",
                self.run, facts.step
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64, zero_signal: Option<f64>) -> StepFacts {
        let mut metrics = vec![("reward.mean".to_owned(), 0.25)];
        metrics.extend(zero_signal.map(|share| ("zero_signal".to_owned(), share)));
        StepFacts {
            stage: 0,
            step,
            rewards: Vec::new(),
            groups: Vec::new(),
            reference_logprobs: Vec::new(),
            verdicts: Vec::new(),
            metrics,
        }
    }

    #[test]
    fn silence_is_told_once_a_stage_and_after_twenty_steps_in_a_row() {
        let mut watch = SignalWatch::of("sums");
        watch.stage("rl", 100);
        let told: Vec<u64> = (0..100)
            .filter(|&at| {
                let share = if at == 15 { 0.9 } else { 1.0 };
                watch.step(&step(at, Some(share))).is_some()
            })
            .collect();
        assert_eq!(told, [35]);
        watch.stage("more", 100);
        let notice = (0..20).find_map(|at| watch.step(&step(at, Some(1.0)))).unwrap();
        assert_eq!(
            notice.message,
            "stage `more`: the last 20 steps taught nothing, because in every group all rollouts earned the same (up \
             to step 19; the mean reward is 0.25)"
        );
        assert!(notice.hint.starts_with("`r1x show sums@19.0`"), "{}", notice.hint);
    }

    #[test]
    fn a_short_stage_is_told_at_its_end_and_supervision_never() {
        let mut watch = SignalWatch::of("sums");
        watch.stage("rl", 3);
        let told: Vec<bool> = (0..3).map(|at| watch.step(&step(at, Some(1.0))).is_some()).collect();
        assert_eq!(told, [false, false, true]);
        watch.stage("sft", 50);
        assert!((0..50).all(|at| watch.step(&step(at, None)).is_none()));
    }
}
