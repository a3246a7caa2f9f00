//! The suite every plugin passes: the built-in ones do, and each way to break a rule is found.
//!
//! Orders to the misbehaving guest are the first words of completions; see `plugins/hostile`.

use r1x_reward::{Finding, Plugin, Sample, Verdict, conformance};

use crate::support::*;

const COUNTDOWN: &str = include_str!("../../../../plugins/countdown/cases.jsonl");

fn run(plugin: &Plugin, samples: &[Sample]) -> Vec<Finding> {
    conformance(plugin, "{}", &plan(plugin).plugin().unwrap().limits, samples)
}

fn orders(completions: &[&str]) -> Vec<Sample> {
    let numbered = completions.iter().zip(0u32..);
    numbered
        .map(|(text, group)| Sample {
            id: u64::from(group),
            group,
            ..Sample::new(*text, r#"{"wanted":1}"#)
        })
        .collect()
}

fn failures(findings: &[Finding]) -> Vec<(&'static str, &str)> {
    let failed = findings.iter().filter_map(|finding| match &finding.verdict {
        Verdict::Failed(reason) => Some((finding.rule, reason.as_str())),
        _ => None,
    });
    failed.collect()
}

#[test]
fn countdown_keeps_every_rule() {
    let samples: Vec<Sample> = COUNTDOWN
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|case| case["config"].is_null())
        .map(|case| Sample::new(case["completion"].as_str().unwrap(), case["columns"].to_string()))
        .collect();
    assert!(samples.len() > 5);
    let findings = run(&countdown(), &samples);
    assert_eq!(findings.len(), 13);
    assert!(findings.iter().all(|finding| finding.verdict == Verdict::Passed), "{findings:?}");
}

#[test]
fn what_is_kept_between_calls_is_found() {
    let findings = run(&hostile(), &orders(&["seen", "seen"]));
    let rules: Vec<&str> = failures(&findings).into_iter().map(|(rule, _)| rule).collect();
    for rule in [
        "a fresh and a used instance agree",
        "one by one, as in a batch",
        "in two halves, as in one",
    ] {
        assert!(rules.contains(&rule), "{rules:?}");
    }
    let (_, reason) = failures(&findings)[0];
    assert!(reason.contains("`seen`: ") && reason.contains(" before, "), "{reason}");
}

#[test]
fn a_wrong_number_of_scores_is_found_with_a_single_sample() {
    let findings = run(&hostile(), &orders(&["one"]));
    let told = failures(&findings);
    let found = told.iter().find(|(rule, _)| *rule == "a score for each of several rollouts");
    assert_eq!(found.unwrap().1, "returned 1 score for 2 rollouts", "{told:?}");
    for order in ["crowd", "seen", "lonely", "group"] {
        let findings = run(&hostile(), &orders(&[order]));
        let told = failures(&findings);
        assert!(
            told.iter().any(|(rule, _)| rule.contains("several rollouts")),
            "{order}: {told:?}"
        );
    }
}

#[test]
fn values_out_of_range_and_undeclared_parts_are_found() {
    for (order, words) in [("give 2", "outside the declared range"), ("undeclared", "not declared")]
    {
        let findings = run(&hostile(), &orders(&["give 1", order]));
        let told = failures(&findings)
            .iter()
            .any(|(rule, reason)| rule.starts_with("rewards are finite") && reason.contains(words));
        assert!(told, "{order}: {findings:?}");
    }
}

#[test]
fn a_crash_in_any_rule_is_its_finding_and_the_rest_goes_on() {
    let findings = run(&hostile(), &orders(&["panic 3"]));
    assert_eq!(findings.len(), 13);
    assert!(failures(&findings).iter().any(|(_, reason)| reason.contains("asked to panic with 3")));
    let empty = findings.iter().find(|f| f.rule.starts_with("an empty batch")).unwrap();
    assert_eq!(empty.verdict, Verdict::Passed);
}

#[test]
fn without_samples_rules_are_skipped_and_not_passed() {
    let findings = run(&countdown(), &[]);
    let skipped = findings.iter().filter(|f| matches!(f.verdict, Verdict::Skipped(_))).count();
    assert!(skipped >= 8, "{findings:?}");
    assert!(failures(&findings).is_empty());
}
