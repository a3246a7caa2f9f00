//! What a look for trouble asks: pairs of rewards by value, and groups without a signal.

use r1x_core::port::Recorder;

use super::fixtures::*;

#[test]
fn rewards_are_compared_by_their_correlation_over_the_newest_rollouts() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(start()).unwrap();
    run.stage_started(&stage(0, "grpo", 0)).unwrap();
    // By hand: of the values 1, 2, 4 and 3, 1, 0 the means are 7/3 and 4/3, and the correlation is
    // (-20/9 + 1/9 - 20/9) / sqrt(42/9 * 42/9) = -39/42.
    let values = [(1.0, 3.0), (2.0, 1.0), (4.0, 0.0)];
    let with = |(salt, (equation, format)): (u32, (f64, f64))| {
        rollout(3, salt, Some(equation), Some(format))
    };
    let newest: Vec<_> = (0..).zip(values).map(with).collect();
    // Of an older step only one has both values, and a value that is not there counts in no pair.
    let older = vec![rollout(3, 5, Some(9.0), Some(9.0)), rollout(3, 6, None, Some(1.0))];
    write(&mut run, step_facts(0, 0, vec![group(problem(0), older)]));
    write(&mut run, step_facts(0, 1, vec![group(problem(1), newest)]));
    let (run_id, reader) = (run.run_id(), place.read());
    let pairs = reader.reward_pairs((run_id, 0), 3).unwrap();
    let [pair] = &pairs[..] else { panic!("{pairs:?}") };
    assert_eq!((pair.first.as_str(), pair.second.as_str()), ("equation", "format"));
    assert_eq!(pair.rollouts, 3);
    assert!((pair.correlation + 39.0 / 42.0).abs() < 1e-12, "{}", pair.correlation);
    assert_eq!(reader.reward_pairs((run_id, 0), 100).unwrap()[0].rollouts, 4);
    assert_eq!(reader.reward_pairs((run_id, 1), 100).unwrap(), []);
}

#[test]
fn a_reward_that_says_one_thing_goes_together_with_nothing() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(start()).unwrap();
    run.stage_started(&stage(0, "grpo", 0)).unwrap();
    let with = |salt: u32| rollout(3, salt, Some(f64::from(salt)), Some(0.1));
    write(&mut run, step_facts(0, 0, vec![group(problem(0), (0..6).map(with).collect())]));
    run.flush().unwrap();
    assert_eq!(place.read().reward_pairs((run.run_id(), 0), 100).unwrap(), []);
}

#[test]
fn groups_without_a_signal_are_counted_with_those_that_earned_all_there_is() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(start()).unwrap();
    run.stage_started(&stage(0, "grpo", 0)).unwrap();
    let alike = |key: u64, value: f64| {
        let rollouts = vec![rollout(3, 0, Some(value), None), rollout(3, 2, Some(value), None)];
        let mut group = group(problem(key), rollouts);
        group.zero_signal = true;
        group
    };
    let mut split =
        group(problem(9), vec![rollout(3, 0, Some(1.0), None), rollout(3, 2, Some(0.0), None)]);
    split.zero_signal = false;
    write(&mut run, step_facts(0, 0, vec![alike(0, 0.0)]));
    write(&mut run, step_facts(0, 1, vec![alike(1, 1.0), alike(2, 0.0), alike(3, 1.0), split]));
    run.flush().unwrap();
    let silent = |from| place.read().silent_groups((run.run_id(), 0), from).unwrap();
    assert_eq!((silent(1).groups, silent(1).best), (3, 2));
    assert_eq!(silent(0).groups, 4);
    assert_eq!(silent(2).groups, 0);
}
