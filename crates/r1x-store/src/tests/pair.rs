//! Two runs side by side, by value.

use r1x_core::facts::EvalFacts;
use r1x_core::port::Recorder;

use super::fixtures::*;
use crate::{Paired, RunStatus, RunWriter, StagePoint, Store};

/// An evaluation of these problems: for each, whether each of its samples is right.
fn asked(label: &str, step: u64, problems: &[(u64, &[bool])]) -> EvalFacts {
    let template = evaluation(None, label, step, 0.0);
    let sample = &template.items[0].1[0];
    let item = |(key, right): &(u64, &[bool])| {
        let samples = right.iter().map(|right| {
            let mut sample = sample.clone();
            sample.correct = *right;
            sample
        });
        (problem(*key), samples.collect())
    };
    let items: Vec<_> = problems.iter().map(item).collect();
    let mut facts = EvalFacts { items, ..template };
    let share =
        |right: &[bool]| right.iter().filter(|right| **right).count() as f64 / right.len() as f64;
    let shares = problems.iter().map(|(_, right)| share(right));
    facts.metrics[0].value = shares.sum::<f64>() / problems.len() as f64;
    facts
}

fn begin(store: &Store) -> RunWriter {
    store.begin_run(start()).unwrap()
}

#[test]
fn evaluations_are_paired_by_problem() {
    let place = Place::new();
    let store = place.write();
    let mut a = begin(&store);
    let of_a: [(u64, &[bool]); 5] = [
        (1, &[true, true]),
        (2, &[false, false]),
        (3, &[true, false]),
        (4, &[true, true]),
        (9, &[true, true]),
    ];
    a.evaluation(&asked("start", 0, &of_a)).unwrap();
    a.evaluation(&asked("rl", 7, &of_a)).unwrap();
    a.flush().unwrap();
    let mut b = begin(&store);
    // In another order, with one problem of its own, and with a third sample of one that both have.
    let of_b: [(u64, &[bool]); 5] = [
        (8, &[false, false]),
        (4, &[false, false]),
        (3, &[true, true]),
        (2, &[true, false, false]),
        (1, &[true, true]),
    ];
    b.evaluation(&asked("start", 0, &of_b)).unwrap();
    b.evaluation(&asked("rl", 8, &of_b)).unwrap();
    b.flush().unwrap();

    let pairs = store.evaluation_pairs(a.name(), b.name()).unwrap();
    let places: Vec<_> =
        pairs.iter().map(|pair| (pair.stage.as_str(), pair.step, pair.metric.as_str())).collect();
    assert_eq!(places, [("start", 0, "pass@1"), ("start", 0, "pass@2")], "moments of both");
    // Over all problems 7/10 and 7/15; over the four that both have, differences of 0, 1/3, 1/2 and -1.
    let [first, second] = [&pairs[0], &pairs[1]];
    let (in_a, in_b) = (first.a.unwrap(), first.b.unwrap());
    assert!((in_a - 0.7).abs() < 1e-12 && (in_b - 7.0 / 15.0).abs() < 1e-12, "{first:?}");
    assert_eq!(first.difference, Some(in_b - in_a));
    assert_eq!((second.difference, &second.paired), (Some(0.0), &None));
    let differences = [0.0, 1.0 / 3.0, 0.5, -1.0_f64];
    let expected = r1x_core::estimate::estimate(&differences).unwrap();
    let Some(paired) = &first.paired else { panic!("{first:?}") };
    assert!((paired.difference - expected.mean).abs() < 1e-12, "{paired:?}");
    assert!((paired.stderr - expected.stderr).abs() < 1e-12, "{paired:?}");
    let counts = Paired {
        problems: 4,
        better_in_a: 1,
        better_in_b: 2,
        right_in_a_alone: 1,
        right_in_b_alone: 1,
        ..paired.clone()
    };
    assert_eq!(*paired, counts);

    // The other way round everything changes its side.
    let turned = store.evaluation_pairs(b.name(), a.name()).unwrap().remove(0).paired.unwrap();
    assert_eq!((turned.better_in_a, turned.better_in_b), (2, 1));
    assert!((turned.difference + expected.mean).abs() < 1e-12);
    assert!((turned.stderr - expected.stderr).abs() < 1e-12);
}

#[test]
fn a_run_beside_itself_does_not_differ_and_evaluations_made_anew_count_once() {
    let place = Place::new();
    let store = place.write();
    let mut run = begin(&store);
    run.stage_started(&stage(0, "grpo", 0)).unwrap();
    write(&mut run, grpo_step(0, 0));
    let mut early = asked("grpo-0", 1, &[(1, &[false])]);
    early.stage = Some(0);
    run.evaluation(&early).unwrap();
    run.finish(RunStatus::Interrupted, 130, None, None).unwrap();
    let name = run.name().to_owned();
    drop(run);
    let mut run = store.resume_run(&name, StagePoint { stage: 0, step: 0 }, None).unwrap();
    run.stage_started(&stage(0, "grpo", 0)).unwrap();
    write(&mut run, grpo_step(0, 0));
    let mut late = asked("grpo-0", 1, &[(1, &[true])]);
    late.stage = Some(0);
    run.evaluation(&late).unwrap();
    run.flush().unwrap();
    let pairs = store.evaluation_pairs(&name, "latest").unwrap();
    assert_eq!(pairs.len(), 2, "{pairs:?}");
    assert_eq!((pairs[0].a, pairs[0].b, pairs[0].difference), (Some(1.0), Some(1.0), Some(0.0)));
    let paired = pairs[0].paired.as_ref().unwrap();
    assert_eq!((paired.problems, paired.difference, paired.stderr), (1, 0.0, 0.0));
    assert!(store.metric_pairs(&name, "latest").unwrap().iter().all(|pair| pair.a == pair.b));
}

#[test]
fn metrics_are_means_over_the_last_tenth_of_what_counts() {
    let place = Place::new();
    let store = place.write();
    let mut a = begin(&store);
    a.stage_started(&stage(0, "grpo", 0)).unwrap();
    (0..11).for_each(|step| write(&mut a, grpo_step(0, step)));
    // A stage that the other run has not.
    a.stage_started(&stage(1, "sft", 0)).unwrap();
    write(&mut a, step_facts(1, 0, Vec::new()));
    let mut b = begin(&store);
    b.stage_started(&stage(0, "grpo", 0)).unwrap();
    (0..4).for_each(|step| write(&mut b, grpo_step(0, step)));
    b.finish(RunStatus::Interrupted, 130, None, None).unwrap();
    let name = b.name().to_owned();
    drop(b);
    let mut b = store.resume_run(&name, StagePoint { stage: 0, step: 3 }, None).unwrap();
    b.stage_started(&stage(0, "grpo", 3)).unwrap();
    let mut again = grpo_step(0, 3);
    again.metrics[0].1 = 100.0;
    write(&mut b, again);

    let pairs = store.metric_pairs(a.name(), &name).unwrap();
    let rows: Vec<_> = pairs
        .iter()
        .map(|pair| (pair.stage.as_str(), pair.metric.as_str(), pair.a, pair.b, pair.difference))
        .collect();
    // The loss is 0.5 more than the number of the step: two of eleven steps count, and one of four.
    let expected = [
        ("grpo-0", "loss", Some(10.0), Some(100.0), Some(90.0)),
        ("grpo-0", "lr", Some(1e-3), Some(1e-3), Some(0.0)),
        ("grpo-0", "grad_norm", None, None, None),
        ("grpo-0", "ratio", None, None, None),
    ];
    assert_eq!(rows, expected);
}
