//! Stages that learn from pairs, on real models of a few thousand numbers: what they learn, what does not show in it, and
//! that a run which was interrupted goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use r1x_core::plan::{
    AttentionPlan, DataRef, DpoPlan, FeedForwardPlan, GqaPlan, HeadPlan, ModelPlan, Precision,
    ReadPart, RewardLossPlan, RewardModelPlan, RunPlan,
};
use r1x_core::port::{Cursor, OnlyModel, WeightChoice};
use r1x_core::select::Kept;
use r1x_core::{
    CheckpointFacts, EvalFacts, PortError, Problem, ProblemSource, Recorder, Split, StageFacts,
    StepFacts, TrainingBatch, TrainingSequence, testing, valued,
};
use r1x_model::model::{answering_on_cpu, on_cpu};
use r1x_model::{Expected, Given, Model};
use r1x_train::{Ports, RunOutcome, run};

/// Problems of two splits.
struct Source {
    train: Vec<Problem>,
    heldout: Vec<Problem>,
}

impl ProblemSource for Source {
    fn problems(&self, _: &str, split: Split) -> Result<&[Problem], PortError> {
        Ok(match split {
            Split::Train => &self.train,
            Split::Heldout => &self.heldout,
        })
    }
}

/// Steps and checkpoints of a run.
#[derive(Default)]
struct Memory {
    steps: Vec<StepFacts>,
    checkpoints: Vec<String>,
}

impl Recorder for Memory {
    fn stage_started(&mut self, _: &StageFacts) -> Result<(), PortError> {
        Ok(())
    }
    fn step(&mut self, facts: StepFacts) -> Result<(), PortError> {
        self.steps.push(facts);
        Ok(())
    }
    fn evaluation(&mut self, _: &EvalFacts) -> Result<(), PortError> {
        Ok(())
    }
    fn checkpoint(&mut self, facts: &CheckpointFacts) -> Result<(), PortError> {
        self.checkpoints.push(facts.path.clone());
        Ok(())
    }
    fn kept(&mut self, _: usize, _: u64) -> Result<Vec<Kept>, PortError> {
        Ok(Vec::new())
    }
    fn stage_finished(&mut self, _: &StageFacts, _: &str) -> Result<(), PortError> {
        Ok(())
    }
}

impl Memory {
    /// A metric over the steps that have it.
    fn curve(&self, name: &str) -> Vec<f64> {
        let named =
            |step: &StepFacts| step.metrics.iter().find(|(known, _)| known == name).cloned();
        self.steps.iter().filter_map(|step| Some(named(step)?.1)).collect()
    }
}

/// Three digits each, of which the response with the larger sum is the better one, behind a thought that says nothing.
/// Every seventh problem is held out.
fn sums() -> Source {
    let mut draws = r1x_core::Rng::new(8).stream("sums").at(&[]);
    let mut source = Source { train: Vec::new(), heldout: Vec::new() };
    for index in 0..420 {
        let mut response = || {
            let digits: Vec<u64> = (0..3).map(|_| draws.below(10)).collect();
            let text: Vec<String> = digits.iter().map(u64::to_string).collect();
            (digits.iter().sum::<u64>(), text.join(" "))
        };
        let (mut one, mut other) = (response(), response());
        while one.0 == other.0 {
            other = response();
        }
        if one.0 < other.0 {
            std::mem::swap(&mut one, &mut other);
        }
        let problem = Problem {
            data: "data".to_owned(),
            solution: Some(format!("9 9 </think> {}", one.1)),
            rejected: Some(format!("0 0 </think> {}", other.1)),
            ..testing::problem(&index.to_string(), "7 <think>")
        };
        if index % 7 == 0 { source.heldout.push(problem) } else { source.train.push(problem) }
    }
    source
}

fn model(head: HeadPlan) -> ModelPlan {
    let mut pieces: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
    pieces.extend(["<think>", "</think>"].map(str::to_owned));
    ModelPlan {
        vocabulary_size: pieces.len() + 1,
        tokenizer: r1x_core::plan::TokenizerPlan::Vocabulary { pieces },
        hidden_size: 24,
        layers: 2,
        context_length: 16,
        attention: AttentionPlan::Gqa(GqaPlan::llama(2, 1, 12)),
        feed_forward: FeedForwardPlan::swiglu(32),
        init_std: 0.15,
        head,
        ..testing::tiny_model()
    }
}

fn judge(steps: u64) -> RewardModelPlan {
    RewardModelPlan {
        heldout: vec![DataRef { split: Split::Heldout, ..testing::data_ref("data") }],
        heldout_every: Some(steps.div_ceil(2)),
        batch_size: 16,
        micro_batch_size: 8,
        optimizer: testing::optimizer(5e-3),
        reads: ReadPart::Answer,
        share_prompts: true,
        ..testing::reward_model(steps)
    }
}

fn judge_run(plan: RewardModelPlan) -> RunPlan {
    let model = model(HeadPlan::Value);
    RunPlan { model, ..testing::run(vec![testing::reward_model_stage(plan)]) }
}

/// A run of a model with what it left.
struct Ran {
    outcome: RunOutcome,
    memory: Memory,
    policy: Box<dyn Model>,
    folder: tempfile::TempDir,
}

fn fresh(plan: &RunPlan, threads: usize, folder: &Path) -> Box<dyn Model> {
    on_cpu(&plan.model, plan.seed, threads, folder.to_owned()).unwrap()
}

/// Runs a plan to its end, or until it has recorded so many steps.
fn run_from(
    plan: &RunPlan,
    source: &Source,
    mut policy: Box<dyn Model>,
    folder: tempfile::TempDir,
    (from, most): (Cursor, usize),
) -> Ran {
    let mut memory = Memory::default();
    let mut rewarder = testing::RuleRewarder(|_: testing::Ruled<'_>| testing::outcome(0.0));
    let left = std::cell::Cell::new(most);
    let stop = || {
        left.set(left.get().saturating_sub(1));
        left.get() == 0
    };
    let mut only = OnlyModel(&mut *policy);
    let ports = Ports {
        policy: &mut only,
        rewarder: &mut rewarder,
        problems: source,
        recorder: &mut memory,
    };
    let outcome = run(plan, ports, from, &stop).unwrap();
    Ran { outcome, memory, policy, folder }
}

fn finished(plan: &RunPlan, source: &Source, threads: usize) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let policy = fresh(plan, threads, folder.path());
    let ran = run_from(plan, source, policy, folder, (Cursor::default(), usize::MAX));
    assert_eq!(ran.outcome, RunOutcome::Done);
    ran
}

#[test]
fn a_reward_model_learns_which_response_is_better() {
    let source = sums();
    // Labels of one response contradict each other where sums are middling, so points teach an order less well.
    for (loss, least) in [(RewardLossPlan::Pair { margin: 0.0 }, 0.9), (RewardLossPlan::Point, 0.8)]
    {
        let ran = finished(&judge_run(RewardModelPlan { loss, ..judge(160) }), &source, 2);
        let curve = |name: &str| ran.memory.curve(name);
        let accuracy = curve("heldout.accuracy");
        assert_eq!(accuracy.len(), 2, "in the middle and at the end");
        assert!(accuracy[1] > least, "{loss:?}: {accuracy:?}");
        let calibration = curve("heldout.calibration");
        assert!((0.0..0.2).contains(&calibration[1]), "{loss:?}: {calibration:?}");
        // A coin costs ln 2.
        let costs = curve("heldout.loss");
        assert!(costs[1] < 0.9 * 2f64.ln(), "{loss:?}: {costs:?}");
        let margin = curve("heldout.margin");
        assert!(margin[1] > 1.0, "{loss:?}: {margin:?}");
        assert_eq!(curve("tokens"), vec![32.0; 160], "one target of each response");
    }
}

/// Whoever asks for a reward later loads the checkpoint, makes the sequence as training does, and gets the values that
/// the stage ended with.
#[test]
fn what_was_learnt_is_asked_from_the_checkpoint() {
    let source = sums();
    let plan = judge_run(judge(40));
    let ran = finished(&plan, &source, 1);
    let folder = ran.folder.path().join(ran.memory.checkpoints.last().unwrap());
    let given = Given::Checkpoint { folder: &folder, expected: &Expected::ANYTHING, seed: 0 };
    let mut model = answering_on_cpu(&plan.model, 1, given).unwrap();
    let problem = &source.heldout[0];
    let responses = ["9 9 </think> 9 9 9", "9 9 </think> 0 0 0"];
    let sequences = responses.map(|response| {
        let read = valued::sequence(&*model, ReadPart::Answer, problem, response).unwrap();
        Arc::new(read)
    });
    let batch = TrainingBatch {
        sequences: sequences.to_vec(),
        micro_batch_size: 1,
        temperature: 1.0,
        share_prompts: false,
    };
    let asked = model.score(WeightChoice::Current, &batch).unwrap();
    let values: Vec<f64> = asked.iter().filter_map(|said| valued::value(said)).collect();
    assert!(values[0] > values[1], "{values:?}");
    let mut learnt = ran.policy;
    assert_eq!(learnt.score(WeightChoice::Current, &batch).unwrap(), asked);
    // The thought is not read, so it cannot be paid for.
    let other =
        valued::sequence(&*model, ReadPart::Answer, problem, "3 1 4 1 </think> 9 9 9").unwrap();
    assert_eq!(other, *sequences[0]);
}

#[test]
fn threads_and_micro_batches_do_not_show_in_what_a_pair_is_worth() {
    let source = sums();
    for precision in [Precision::F32, Precision::Bf16] {
        let weights = |micro_batch_size, threads| {
            let plan = judge_run(RewardModelPlan { micro_batch_size, ..judge(6) });
            let plan = RunPlan { model: ModelPlan { precision, ..plan.model }, ..plan };
            let ran = finished(&plan, &source, threads);
            (ran.policy.weights_sha256().unwrap(), ran.memory.steps)
        };
        let one = weights(8, 1);
        assert_eq!(one, weights(8, 3), "{precision:?}: threads");
        // Scores come before the update, so of the first step nothing depends on what was computed together.
        for micro_batch_size in [1, 3, 32] {
            let (_, steps) = weights(micro_batch_size, 2);
            for name in ["loss", "accuracy", "margin", "better", "worse", "tokens"] {
                let of = |steps: &[StepFacts]| {
                    steps[0].metrics.iter().find(|(known, _)| known == name).cloned()
                };
                assert_eq!(of(&steps), of(&one.1), "{precision:?}, {micro_batch_size}: {name}");
            }
            let norm = |steps: &[StepFacts]| {
                steps[0].metrics.iter().find(|(known, _)| known == "grad_norm").unwrap().1
            };
            let (found, expected) = (norm(&steps), norm(&one.1));
            let tolerance = if precision == Precision::Bf16 { 1e-2 } else { 1e-5 };
            assert!((found - expected).abs() < tolerance * expected, "{found} and {expected}");
        }
    }
}

#[test]
fn runs_that_were_interrupted_end_as_those_that_were_not() {
    let source = sums();
    let preferring = DpoPlan { batch_size: 8, ..testing::dpo(6) };
    let preferring = RunPlan {
        model: model(HeadPlan::Vocabulary),
        ..testing::run(vec![testing::dpo_stage(preferring)])
    };
    for plan in [judge_run(judge(6)), preferring] {
        let whole = finished(&plan, &source, 1);
        let folder = tempfile::tempdir().unwrap();
        let policy = fresh(&plan, 1, folder.path());
        let first = run_from(&plan, &source, policy, folder, (Cursor::default(), 3));
        let RunOutcome::Interrupted { cursor } = first.outcome else { panic!("not interrupted") };
        assert_eq!(cursor.step, 3);
        let path: PathBuf = first.folder.path().join(first.memory.checkpoints.last().unwrap());
        let mut policy = fresh(&plan, 1, first.folder.path());
        policy.load(&path, &Expected::ANYTHING).unwrap();
        let second = run_from(&plan, &source, policy, first.folder, (cursor, usize::MAX));
        assert_eq!(second.outcome, RunOutcome::Done);
        let steps = [first.memory.steps, second.memory.steps].concat();
        assert_eq!(steps, whole.memory.steps);
        let ends = [second.policy, whole.policy].map(|policy| policy.weights_sha256().unwrap());
        assert_eq!(ends[0], ends[1]);
    }
}

/// log π(solution) − log π(rejected) over some problems, nats.
fn likelier(policy: &mut dyn Model, problems: &[Problem]) -> f64 {
    let completion = |problem: &Problem, text: &Option<String>| {
        let prompt = policy.encode_prompt(&problem.prompt, &problem.form).unwrap();
        let mut targets = policy.encode(text.as_deref().unwrap()).unwrap();
        targets.push(policy.eos());
        Arc::new(TrainingSequence::new(&prompt, &targets))
    };
    let sequences = problems.iter().flat_map(|problem| {
        [completion(problem, &problem.solution), completion(problem, &problem.rejected)]
    });
    let batch = TrainingBatch {
        sequences: sequences.collect(),
        micro_batch_size: 8,
        temperature: 1.0,
        share_prompts: false,
    };
    let said = policy.score(WeightChoice::Current, &batch).unwrap();
    let sums: Vec<f64> =
        said.iter().map(|said| said.iter().map(|one| f64::from(*one)).sum()).collect();
    sums.as_chunks::<2>().0.iter().map(|[better, worse]| better - worse).sum()
}

#[test]
fn preferences_raise_the_margin_and_the_likelihood_ratio() {
    let source = sums();
    let plan =
        DpoPlan { batch_size: 16, micro_batch_size: 8, share_prompts: true, ..testing::dpo(60) };
    let plan = RunPlan {
        model: model(HeadPlan::Vocabulary),
        ..testing::run(vec![testing::dpo_stage(plan)])
    };
    let folder = tempfile::tempdir().unwrap();
    let before = likelier(&mut *fresh(&plan, 1, folder.path()), &source.heldout);
    let mut ran = finished(&plan, &source, 2);
    let (margin, loss) = (ran.memory.curve("margin"), ran.memory.curve("loss"));
    assert_eq!(margin[0], 0.0, "the policy begins as its reference");
    assert!((loss[0] - 2f64.ln()).abs() < 1e-12);
    assert!(margin[59] > margin[10] && margin[10] > 0.0, "{margin:?}");
    assert!(loss[59] < 0.5 * loss[0], "{loss:?}");
    assert!(ran.memory.curve("accuracy")[59] > 0.9);
    let after = likelier(&mut *ran.policy, &source.heldout);
    assert!(after > before + source.heldout.len() as f64, "{before} and then {after}");
}
