//! Every field that goes in comes out, bit for bit.

use r1x_core::facts::StepFacts;
use r1x_core::plan::RecordPlan;
use r1x_core::port::Recorder;
use r1x_core::{Boundary, CheckpointKind};

use super::fixtures::*;
use crate::{Level, Mode, Relation, RunStatus, RunWriter, StepTiming, Store};

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn a_run_explains_itself() {
    let place = Place::new();
    let store = place.write();
    let mut first = store.begin_run(start()).unwrap();
    assert!(first.folder().is_dir());
    assert_eq!(first.folder(), place.folder.path().join(first.name()));
    assert!(first.name().starts_with("countdown-"));
    first.event(Level::Warn, "train", "a group without signal").unwrap();
    first.finish(RunStatus::Done, 0, None, Some("12ab")).unwrap();

    let read = place.read();
    let card = read.run_card(first.name()).unwrap();
    let start = start();
    assert_eq!(card.run.seed, start.seed);
    assert_eq!(card.run.status, "done");
    assert_eq!(card.run.exit_code, Some(0));
    assert_eq!(card.run.digest.as_deref(), Some("12ab"));
    assert_eq!(card.run.plan_sha256, start.plan_sha256);
    assert_eq!(card.run.uid, first.uid());
    assert_eq!(card.environment, start.environment);
    assert_eq!(card.datasets, start.datasets);
    assert_eq!(card.events.len(), 1);
    assert_eq!(card.events[0].level, "warn");
    assert_eq!(card.events[0].message, "a group without signal");
    for (card, plugin) in card.plugins.iter().zip(&start.plugins) {
        assert_eq!((&card.reward, &card.plugin), (&plugin.reward_id, &plugin.name));
        assert_eq!((&card.version, &card.wit_world), (&plugin.version, &plugin.wit_world));
        assert_eq!((&card.sha256, &card.source_sha256), (&plugin.sha256, &plugin.source_sha256));
        assert_eq!((card.weight, &card.settings), (plugin.weight, &plugin.config_json));
        assert_eq!(read.plugin_bytes(&card.sha256).unwrap().as_ref(), Some(&plugin.bytes));
    }
    assert_eq!(card.plugins.len(), 2);
    let spec = read.spec(first.name()).unwrap();
    assert_eq!(spec.path, start.spec_path);
    assert_eq!(spec.text, start.spec_text);
    assert_eq!(spec.overrides, start.overrides);
    assert_eq!(spec.plan_json, start.plan_json);
}

#[test]
fn runs_are_listed_newest_first() {
    let place = Place::new();
    let store = place.write();
    let mut first = store.begin_run(start()).unwrap();
    first.finish(RunStatus::Done, 0, None, None).unwrap();
    let parent = Some((first.run_id(), Relation::Reproduce));
    let mut second = store.begin_run(crate::RunStart { parent, seed: 1, ..start() }).unwrap();
    assert_ne!(first.name(), second.name());
    assert!(first.uid() < second.uid());
    let read = place.read();
    let runs = read.runs().unwrap();
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0].name, second.name());
    assert_eq!(runs[0].status, "running");
    assert_eq!(runs[0].parent.as_deref(), Some(first.name()));
    assert_eq!(runs[0].relation.as_deref(), Some("reproduce"));
    second.finish(RunStatus::Failed, 6, Some("a plugin failed"), None).unwrap();
    let card = read.run("latest").unwrap();
    assert_eq!((card.status.as_str(), card.exit_code), ("failed", Some(6)));
    assert_eq!(card.error.as_deref(), Some("a plugin failed"));
    assert_eq!(number(&read, "SELECT count(*) FROM spec"), 1, "equal specs are stored once");
    assert_eq!(number(&read, "SELECT count(*) FROM plugin"), 2, "equal plugins are stored once");
}

#[test]
fn a_step_comes_back_in_every_field() {
    let place = Place::new();
    let store = place.write();
    let mut run = store.begin_run(start()).unwrap();
    run.stage_started(&stage(1, "grpo", 0)).unwrap();
    run.set_timing(StepTiming { generate_ms: 10.5, reward_ms: 0.25, train_ms: 20.0 });
    let facts = grpo_step(1, 0);
    write(&mut run, facts.clone());
    write(&mut run, grpo_step(1, 1));

    // The writer is still open: readers see what is committed.
    let read = place.read();
    check_step_card(&read, run.name(), &facts);
    check_rollouts(&read, run.name(), &facts);
    assert!(run.store_ms_total() > 0.0);
    let second = read.step("latest", None, 1).unwrap();
    assert_eq!(second.timing, None, "a timing is used once");
    assert_eq!(second.store_ms, None, "not known before the next fact");
    run.event(Level::Info, "test", "the cost of a step comes with the next fact").unwrap();
    assert!(read.step("latest", None, 1).unwrap().store_ms.is_some());
}

fn check_step_card(read: &Store, run: &str, facts: &StepFacts) {
    let card = read.step(run, Some("grpo-1"), 0).unwrap();
    assert_eq!((card.stage_index, card.kind.as_str()), (1, "grpo"));
    let timing = StepTiming { generate_ms: 10.5, reward_ms: 0.25, train_ms: 20.0 };
    assert_eq!(card.timing, Some(timing));
    assert!(card.store_ms.unwrap() > 0.0);
    assert!(card.started_ms <= card.ended_ms);
    assert_eq!(card.metrics.len(), facts.metrics.len());
    for (metric, (name, value)) in card.metrics.iter().zip(&facts.metrics) {
        assert_eq!(&metric.name, name);
        assert!(metric.value == *value || (metric.value.is_nan() && value.is_nan()), "{name}");
    }
    let rewards: Vec<_> = card
        .rewards
        .iter()
        .map(|reward| (reward.name.as_str(), reward.mean, reward.ok, reward.other))
        .collect();
    assert_eq!(rewards, [("equation", Some(0.5), 2, 2), ("format", Some(2.0 / 3.0), 3, 1)]);
    assert_eq!(card.groups.len(), 2);
    let (first, second) = (&card.groups[0], &card.groups[1]);
    assert_eq!((first.mean, first.lowest, first.highest), (Some(1.0), Some(0.5), Some(1.5)));
    assert_eq!((first.rollouts, first.mean_tokens, first.truncated), (2, 4.0, 0.5));
    assert_eq!(first.zero_signal, facts.groups[0].zero_signal);
    assert_eq!((first.prompt_key.as_str(), first.gold.as_deref()), ("key-0", Some("7")));
    assert_eq!(
        (second.group, second.mean),
        (1, Some(0.0)),
        "no value is left out, not counted as 0"
    );
}

fn check_rollouts(read: &Store, run: &str, facts: &StepFacts) {
    for (g, group) in facts.groups.iter().enumerate() {
        let detail = read.group(run, None, 0, g as u64).unwrap();
        assert_eq!(detail.samples.len(), group.group.rollouts.len());
        for (s, rollout) in group.group.rollouts.iter().enumerate() {
            let found = read.rollout(run, None, 0, g as u64, s as u64).unwrap();
            let completion = &rollout.rollout.completion;
            let problem = &group.group.problem;
            assert_eq!(found.prompt_key, problem.key);
            assert_eq!(found.prompt, problem.prompt);
            assert_eq!(found.gold, problem.answer);
            assert_eq!(found.solution, problem.solution);
            assert_eq!(found.columns, problem.columns);
            assert_eq!(found.prompt_tokens, group.group.prompt_tokens);
            assert_eq!(found.text.as_ref(), Some(&rollout.rollout.text));
            assert_eq!(found.tokens.as_ref(), Some(&completion.tokens));
            assert_eq!(bits(&found.logprobs.unwrap()), bits(&completion.logprobs));
            assert_eq!(bits(&found.entropies.unwrap()), bits(&completion.entropies));
            assert_eq!(
                bits(&found.reference_logprobs.unwrap()),
                bits(&facts.reference_logprobs[g][s])
            );
            assert_eq!(found.finish, completion.finish.as_str());
            assert_eq!(found.n_tokens, completion.tokens.len() as i64);
            assert_eq!(found.reward, rollout.total);
            assert_eq!(found.advantage, Some(group.advantages[s]));
            assert_eq!(detail.samples[s].reward, rollout.total);
            assert_eq!(detail.samples[s].text, found.text);
            for ((card, outcome), (name, weight)) in found
                .rewards
                .iter()
                .zip(&rollout.outcomes)
                .zip([("equation", 1.0), ("format", 0.5)])
            {
                assert_eq!((card.name.as_str(), card.weight), (name, Some(weight)));
                assert_eq!(card.value, outcome.value);
                assert_eq!(card.status, outcome.status.as_str());
                assert_eq!(card.info, outcome.info);
                assert_eq!(format!("{:?}", card.parts), format!("{:?}", outcome.parts));
            }
            assert_eq!(found.rewards.len(), 2);
        }
    }
}

/// A group that is dropped, and a truncated rollout that is masked, are not scored by the reference.
#[test]
fn rollouts_that_the_reference_was_not_asked_about_have_no_log_probs_under_it() {
    let place = Place::new();
    let store = place.write();
    let mut run = run_of_steps(&store, 0);
    let mut facts = grpo_step(1, 0);
    facts.reference_logprobs[0][1].clear();
    facts.reference_logprobs[1].iter_mut().for_each(Vec::clear);
    write(&mut run, facts);
    for (group, sample, asked) in [(0, 0, true), (0, 1, false), (1, 0, false), (1, 1, false)] {
        let found = store.rollout("latest", None, 0, group, sample).unwrap();
        assert_eq!(found.reference_logprobs.is_some(), asked, "{group}.{sample}");
        assert!(found.logprobs.is_some(), "{group}.{sample}");
    }
    assert_eq!(number(&store, "SELECT count(ref_diff) FROM rollout"), 1);
}

#[test]
fn only_what_the_plan_records_is_kept() {
    let place = Place::new();
    let store = place.write();
    let record = RecordPlan { text: false, tokens: true, logprobs: false };
    let plan_json = format!(r#"{{"record":{}}}"#, serde_json::to_string(&record).unwrap());
    let mut run = store.begin_run(crate::RunStart { plan_json, ..start() }).unwrap();
    run.stage_started(&stage(0, "grpo", 0)).unwrap();
    write(&mut run, grpo_step(0, 0));
    let found = store.rollout("latest", None, 0, 0, 1).unwrap();
    assert_eq!(found.text, None);
    assert_eq!(found.tokens.map(|tokens| tokens.len()), Some(5));
    assert_eq!((found.logprobs, found.reference_logprobs, found.entropies), (None, None, None));
    assert_eq!(found.reward, Some(0.5));
}

/// A run that did its `sft` stage and has begun to evaluate.
fn sft_run(store: &Store) -> RunWriter {
    let mut run = store.begin_run(start()).unwrap();
    run.evaluation(&evaluation(None, "start", 0, 0.125)).unwrap();
    run.stage_started(&stage(0, "sft", 0)).unwrap();
    for step in 0..3 {
        run.set_timing(StepTiming { generate_ms: 0.0, reward_ms: 0.0, train_ms: 2.0 });
        write(&mut run, step_facts(0, step, Vec::new()));
    }
    std::fs::write(run.folder().join("sft-0.safetensors"), b"weights").unwrap();
    run.checkpoint(&checkpoint(0, 3, CheckpointKind::Stage, "sft-0.safetensors")).unwrap();
    run.checkpoint(&checkpoint(0, 2, CheckpointKind::Step, "gone")).unwrap();
    run.stage_finished(&stage(0, "sft", 0), "99aa").unwrap();
    run.evaluation(&evaluation(Some(0), "sft-0", 3, 0.5)).unwrap();
    run.stage_started(&stage(1, "evaluate", 0)).unwrap();
    run
}

#[test]
fn stages_and_metrics_come_back() {
    let place = Place::new();
    let store = place.write();
    let _run = sft_run(&store);
    let card = store.run_card("latest").unwrap();
    assert_eq!(card.run.steps, 3);
    let stages: Vec<_> = card
        .stages
        .iter()
        .map(|stage| (stage.index, stage.kind.as_str(), stage.status.as_str(), stage.steps))
        .collect();
    assert_eq!(stages, [(0, "sft", "done", 3), (1, "evaluate", "running", 0)]);
    assert_eq!(card.stages[0].weights_sha256.as_deref(), Some("99aa"));
    assert_eq!(card.stages[0].train_ms, 6.0);
    assert!(card.stages[0].store_ms > 0.0);
    let names: Vec<_> = card.metrics.iter().map(|metric| metric.metric.as_str()).collect();
    assert_eq!(names, ["loss", "lr", "grad_norm", "ratio"]);
    assert_eq!((card.metrics[0].step, card.metrics[0].value), (2, 2.5));
    let series = store.metric_series("latest", Some("sft-0"), "loss").unwrap();
    let points: Vec<_> = series.iter().map(|point| (point.step, point.value)).collect();
    assert_eq!(points, [(0, 0.5), (1, 1.5), (2, 2.5)]);
    assert!(store.metric_series("latest", Some("other"), "loss").unwrap().is_empty());
}

#[test]
fn evaluations_come_back_with_every_sample() {
    let place = Place::new();
    let store = place.write();
    let _run = sft_run(&store);
    let evals = store.eval_results("latest").unwrap();
    let rows: Vec<_> = evals
        .iter()
        .map(|row| (row.stage.as_str(), row.step, row.metric.as_str(), row.value))
        .collect();
    assert_eq!(
        rows,
        [
            ("start", 0, "pass@1", Some(0.125)),
            ("start", 0, "pass@2", Some(0.5)),
            ("sft-0", 3, "pass@1", Some(0.5)),
            ("sft-0", 3, "pass@2", Some(0.5)),
        ]
    );
    assert_eq!((evals[0].stderr, evals[0].n_items, evals[0].n_samples), (Some(0.1), 2, 2));
    assert_eq!(store.run_card("latest").unwrap().evals, evals);
    let samples = store.sql_table(&crate::SqlQuery::new(
        "SELECT item, sample, prompt_key, completion, score, status, correct, n_tokens, finish
           FROM v_eval_samples WHERE stage = 'start' ORDER BY item, sample",
    ));
    let json = |row: &Vec<crate::Value>| serde_json::to_string(row).unwrap();
    let rows: Vec<String> = samples.unwrap().rows.iter().map(json).collect();
    assert_eq!(
        rows,
        [
            r#"[0,0,"key-1000","answer 1",1.0,"ok",1,3,"stop"]"#,
            r#"[0,1,"key-1000","answer 2",0.0,"ok",0,3,"stop"]"#,
            r#"[1,0,"key-1001","answer 3",null,"trap",0,3,"stop"]"#,
            r#"[1,1,"key-1001","answer 4",0.0,"ok",0,3,"stop"]"#,
        ]
    );
    // Tokens 1, 2, 0 and log-probs -0.5, -0.25 and the smallest normal number below 0.
    let bytes = "SELECT count(*) FROM eval_sample WHERE sample = 0 AND item = 0
                    AND hex(token_ids) = '010000000200000000000000' AND hex(logp) = '000000BF000080BE00008080'";
    assert_eq!(number(&store, bytes), 2);
    assert_eq!(
        number(&store, "SELECT count(*) FROM prompt"),
        2,
        "a problem asked twice is stored once"
    );
}

#[test]
fn checkpoints_come_back_and_missing_ones_are_known() {
    let place = Place::new();
    let store = place.write();
    let _run = sft_run(&store);
    let checkpoints = store.checkpoints("latest").unwrap();
    assert_eq!(store.run_card("latest").unwrap().checkpoints, checkpoints);
    let found: Vec<_> = checkpoints
        .iter()
        .map(|card| (card.step, card.kind.as_str(), card.path.as_str(), card.exists))
        .collect();
    assert_eq!(found, [(2, "step", "gone", false), (3, "stage", "sft-0.safetensors", true)]);
    assert_eq!((checkpoints[0].bytes, checkpoints[0].sha256.len()), (1234, 64));
}

#[test]
fn runs_are_found_by_what_people_type() {
    let place = Place::new();
    let store = place.write();
    let told = store.run("latest").unwrap_err();
    assert!(
        told.to_string().starts_with("there is no run in ") && told.hint().contains("`r1x run`")
    );
    let one = store.begin_run(start()).unwrap();
    let two = store.begin_run(crate::RunStart { name: "dense".into(), ..start() }).unwrap();
    assert_eq!(store.run("latest").unwrap().name, two.name());
    assert_eq!(store.run("count").unwrap().name, one.name());
    assert_eq!(store.run(one.uid()).unwrap().name, one.name());
    assert_eq!(store.run(&one.uid()[..30]).unwrap().name, one.name());
    let three = store.begin_run(start()).unwrap();
    let error = store.run("countdown").unwrap_err();
    assert_eq!(error.to_string(), "`countdown` fits 2 runs");
    assert!(error.hint().contains(one.name()) && error.hint().contains(three.name()));
    let mut typo = two.name().to_owned();
    typo.insert(2, 'n');
    let error = store.run(&typo).unwrap_err();
    assert!(error.hint().contains(two.name()), "{}", error.hint());
    let words = one.name().strip_prefix("countdown-").unwrap();
    assert!(store.run(words).unwrap_err().hint().contains(one.name()));
    assert!(store.run("").is_err());
}

#[test]
fn parts_of_a_run_that_are_not_there_are_named() {
    let place = Place::new();
    let store = place.write();
    let run = run_of_steps(&store, 2);
    let name = run.name().to_owned();
    let message = |error: crate::StoreError| format!("{error}; {}", error.hint());
    assert_eq!(
        message(store.step("latest", None, 9).unwrap_err()),
        format!("run {name} has no step 9; `grpo-1` has steps 0 to 1")
    );
    assert_eq!(
        message(store.step("latest", Some("sft"), 0).unwrap_err()),
        format!("run {name} has no step 0 of stage `sft`; `grpo-1` has steps 0 to 1")
    );
    assert_eq!(
        message(store.group("latest", None, 1, 2).unwrap_err()),
        format!(
            "run {name} has no group 2 in step 1 of stage `grpo-1`; that step has groups 0 to 1"
        )
    );
    assert_eq!(
        message(store.rollout("latest", None, 1, 0, 7).unwrap_err()),
        format!("run {name} has no rollout 7 in group 0 of step 1; that group has rollouts 0 to 1")
    );
}

#[test]
fn facts_that_do_not_fit_are_refused_whole() {
    let place = Place::new();
    let store = place.write();
    let mut run = run_of_steps(&store, 1);
    let mut cases = Vec::new();
    let mut facts = grpo_step(1, 1);
    facts.groups[0].advantages.pop();
    cases.push((facts, "2 advantages are needed"));
    let mut facts = grpo_step(1, 1);
    facts.groups[1].group.rollouts[0].outcomes.pop();
    cases.push((facts, "one outcome and term per reward"));
    let mut facts = grpo_step(1, 1);
    facts.groups[1].group.rollouts[0].terms.pop();
    cases.push((facts, "one outcome and term per reward"));
    let mut facts = grpo_step(1, 1);
    facts.reference_logprobs[0][1].pop();
    cases.push((facts, "one reference log-prob per token"));
    let mut facts = grpo_step(1, 1);
    facts.groups[0].group.rollouts[0].rollout.completion.logprobs.pop();
    cases.push((facts, "one log-prob per token"));
    cases.push((grpo_step(5, 1), "stage 5 has not been started"));
    for (facts, word) in cases {
        let error = run.step(facts).unwrap_err();
        assert!(error.message.contains(word), "{error}");
        assert_eq!(error.boundary, Boundary::Internal, "{error}");
    }
    // The same step twice breaks a key in the middle of a transaction.
    run.step(grpo_step(1, 0)).unwrap();
    run.flush().unwrap_err();
    write(&mut run, grpo_step(1, 1));
    drop((run, store));
    assert_whole(&place.path());
    assert_eq!(number(&place.read(), "SELECT count(*) FROM step"), 2);
}

#[test]
fn two_programs_make_one_store_at_the_same_time() {
    let place = Place::new();
    let threads: Vec<_> = (0..6)
        .map(|_| {
            let path = place.path();
            std::thread::spawn(move || {
                let store = Store::open(&path, Mode::Write).unwrap();
                let mut run = run_of_steps(&store, 5);
                run.finish(RunStatus::Done, 0, None, None).unwrap();
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_whole(&place.path());
    let read = place.read();
    assert_eq!(number(&read, "SELECT count(*) FROM step"), 30);
    assert_eq!(number(&read, "SELECT count(DISTINCT name) FROM run WHERE status = 'done'"), 6);
    assert_eq!(
        number(&read, "SELECT count(*) FROM reward_key"),
        2,
        "the same builds share their keys"
    );
}
