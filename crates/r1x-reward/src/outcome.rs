//! From what a guest said, or failed to say, to the outcome of one rollout.

use r1x_core::plan::OnFailure;
use r1x_core::{RewardOutcome, RewardStatus};

use crate::contract::{Answer, PluginInfo, cut};
use crate::limits::{MAX_INFO_BYTES, MAX_PART, MAX_REWARD};
use crate::replay::{Replay, start_of};

/// All outcomes of one reward.
pub(crate) struct Scored {
    pub(crate) groups: Vec<Vec<RewardOutcome>>,
    /// How to mend the first failing rollout of each batch.
    pub(crate) hints: Vec<Option<&'static str>>,
    /// Rollouts that were not judged any more.
    pub(crate) skipped: usize,
    /// The first failing call of the reward.
    pub(crate) replay: Option<Replay>,
}

/// Checks one score against what the plugin declared.
pub(crate) fn judge(info: &PluginInfo, answer: Answer, on_failure: OnFailure) -> RewardOutcome {
    if let Err(reason) = check(info, &answer) {
        return failed(RewardStatus::Invalid, reason, on_failure);
    }
    let status = match answer.reward {
        Some(_) => RewardStatus::Ok,
        None => RewardStatus::Abstain,
    };
    RewardOutcome {
        value: answer.reward,
        status,
        parts: answer.parts,
        info: answer.info.map(|text| cut(text, MAX_INFO_BYTES)),
    }
}

/// The outcome of a rollout whose scoring failed.
pub(crate) fn failed(
    status: RewardStatus,
    sentence: String,
    on_failure: OnFailure,
) -> RewardOutcome {
    let value = match on_failure {
        OnFailure::Zero => Some(0.0),
        OnFailure::Mask | OnFailure::Fail => None,
    };
    RewardOutcome { value, status, parts: Vec::new(), info: Some(cut(sentence, MAX_INFO_BYTES)) }
}

/// Whether an outcome is one that `on_failure` speaks about.
pub(crate) fn is_failure(outcome: &RewardOutcome) -> bool {
    !matches!(outcome.status, RewardStatus::Ok | RewardStatus::Abstain | RewardStatus::Unasked)
}

/// Equal to the bit, explanations included.
pub(crate) fn same(a: &RewardOutcome, b: &RewardOutcome) -> bool {
    let bits = |outcome: &RewardOutcome| {
        let parts = outcome.parts.iter().map(|(name, value)| (name.clone(), value.to_bits()));
        (outcome.value.map(f64::to_bits), parts.collect::<Vec<_>>())
    };
    a.status == b.status && a.info == b.info && bits(a) == bits(b)
}

/// An outcome in a few words.
pub(crate) fn shown(outcome: &RewardOutcome) -> String {
    let value = outcome.value.map_or_else(|| outcome.status.as_str().to_owned(), |v| v.to_string());
    match &outcome.info {
        Some(info) => format!("{value} ({})", start_of(info, 200)),
        None => value,
    }
}

/// The beginning of a text, safe to show.
pub(crate) fn excerpt(text: &str) -> String {
    start_of(text, 40)
}

fn check(info: &PluginInfo, answer: &Answer) -> Result<(), String> {
    if let Some(reason) = &answer.failure {
        return Err(reason.clone());
    }
    if let Some(reward) = answer.reward {
        if !reward.is_finite() {
            let reason = answer.info.as_deref().unwrap_or("it must be a finite number");
            return Err(format!("the reward is {reward}: {reason}"));
        }
        if reward.abs() > MAX_REWARD {
            return Err(format!(
                "the reward is {reward:e}: it must lie between -{MAX_REWARD:e} and {MAX_REWARD:e}"
            ));
        }
        if info.min.is_some_and(|min| reward < min) || info.max.is_some_and(|max| reward > max) {
            let bound =
                |bound: Option<f64>| bound.map_or("..".to_owned(), |bound| bound.to_string());
            return Err(format!(
                "the reward {reward} is outside the declared range {} to {}",
                bound(info.min),
                bound(info.max)
            ));
        }
    }
    if answer.parts.len() > info.parts.len() {
        let (given, declared) = (answer.parts.len(), info.parts.len());
        return Err(format!("it gives {given} parts, and declares {declared}"));
    }
    for (position, (name, value)) in answer.parts.iter().enumerate() {
        if !info.parts.contains(name) {
            return Err(format!(
                "the part `{name}` is not declared; declared are: {}",
                if info.parts.is_empty() { "none".to_owned() } else { info.parts.join(", ") }
            ));
        }
        if answer.parts[..position].iter().any(|(earlier, _)| earlier == name) {
            return Err(format!("the part `{name}` is given twice"));
        }
        if !value.is_finite() {
            return Err(format!("the part `{name}` is {value}: it must be a finite number"));
        }
        if value.abs() > MAX_PART {
            return Err(format!(
                "the part `{name}` is {value:e}: it must lie between -{MAX_PART:e} and {MAX_PART:e}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Needs;

    fn info() -> PluginInfo {
        PluginInfo {
            name: "toy".to_owned(),
            version: "0".to_owned(),
            description: String::new(),
            needs: Needs::default(),
            columns: Vec::new(),
            optional_columns: Vec::new(),
            parts: vec!["a".to_owned(), "c".to_owned()],
            min: Some(0.0),
            max: None,
            config_schema: None,
        }
    }

    fn answer(reward: Option<f64>, parts: &[(&str, f64)]) -> Answer {
        let parts = parts.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Answer { reward, parts, info: None, failure: None }
    }

    #[test]
    fn every_rule_has_its_sentence() {
        for (answer, expected) in [
            (answer(Some(f64::NAN), &[]), "NaN"),
            (answer(Some(f64::INFINITY), &[]), "inf"),
            (answer(Some(-0.5), &[]), "outside the declared range 0 to .."),
            (answer(Some(0.5), &[("b", 1.0)]), "`b` is not declared; declared are: a, c"),
            (
                answer(Some(0.5), &[("a", 1.0), ("a", 1.0), ("a", 1.0)]),
                "gives 3 parts, and declares 2",
            ),
            (answer(Some(0.5), &[("a", 1.0), ("a", 1.0)]), "given twice"),
            (answer(None, &[("a", f64::NAN)]), "`a` is NaN"),
            (
                answer(Some(f64::MAX), &[]),
                "is 1.7976931348623157e308: it must lie between -1e9 and",
            ),
            (answer(Some(1.0), &[("a", -1e300)]), "`a` is -1e300: it must lie between -1e15 and"),
        ] {
            let outcome = judge(&info(), answer, OnFailure::Mask);
            assert_eq!(outcome.status, RewardStatus::Invalid);
            assert_eq!(outcome.value, None);
            assert!(outcome.info.as_deref().unwrap_or("").contains(expected), "{outcome:?}");
        }
    }

    #[test]
    fn a_rollout_that_cannot_be_judged_keeps_its_reason() {
        let nan = answer(Some(f64::NAN), &[]);
        let told = Answer { info: Some("no target".to_owned()), ..nan.clone() };
        let failed =
            Answer { failure: Some("raised KeyError at a.py:5: 'boom'".to_owned()), ..nan };
        for (answer, sentence) in
            [(told, "the reward is NaN: no target"), (failed, "raised KeyError at a.py:5: 'boom'")]
        {
            let outcome = judge(&info(), answer, OnFailure::Mask);
            assert_eq!((outcome.status, outcome.value), (RewardStatus::Invalid, None));
            assert_eq!(outcome.info.as_deref(), Some(sentence));
        }
    }

    #[test]
    fn good_answers_pass_unchanged() {
        let outcome = judge(&info(), answer(Some(0.25), &[("a", 2.0)]), OnFailure::Fail);
        assert_eq!((outcome.status, outcome.value), (RewardStatus::Ok, Some(0.25)));
        assert_eq!(outcome.parts, [("a".to_owned(), 2.0)]);
        let outcome = judge(&info(), answer(None, &[]), OnFailure::Zero);
        assert_eq!((outcome.status, outcome.value), (RewardStatus::Abstain, None));
    }

    #[test]
    fn zero_keeps_the_failing_status() {
        let outcome = judge(&info(), answer(Some(f64::NAN), &[]), OnFailure::Zero);
        assert_eq!((outcome.status, outcome.value), (RewardStatus::Invalid, Some(0.0)));
        assert!(is_failure(&outcome));
    }
}
