//! The specs of DeepSeek-R1 at full size: beside the files that a user supplies they are accepted, have the shapes of the
//! published models, and come to the numbers of the paper (arXiv 2501.12948, v2), which are written here by hand.

mod common;

use std::path::Path;

use common::{World, render};
use r1x_core::plan::*;
use r1x_core::testing;
use r1x_spec::{Described, describe};

/// Files of data, with the columns of a row.
const DATA: [(&str, &[&str]); 13] = [
    ("r1/cold-start", &["question", "language", "solution"]),
    ("r1/math", &["question", "language", "answer"]),
    ("r1/code", &["question", "language", "tests"]),
    ("r1/stem", &["question", "language", "choices", "answer"]),
    ("r1/logic", &["question", "language", "answer"]),
    ("r1/general-sft", &["question", "solution"]),
    ("r1/helpful", &["question", "language", "chosen", "rejected"]),
    ("r1/safety", &["question", "language", "safe", "unsafe"]),
    ("r1/distill", &["question", "solution"]),
    ("aime-2024", &["question", "answer"]),
    ("math-500", &["question", "answer"]),
    ("gpqa-diamond", &["question", "choices", "answer"]),
    ("livecodebench", &["question", "tests"]),
];
/// A distillation, the shape that its student has, and its rate.
const STUDENTS: [(&str, &str, f64); 6] = [
    ("qwen-1.5b", "qwen2.5-1.5b", 1e-4),
    ("qwen-7b", "qwen2.5-7b", 8e-5),
    ("qwen-14b", "qwen2.5-14b", 7e-5),
    ("qwen-32b", "qwen2.5-32b", 6e-5),
    ("llama-8b", "llama-3.1-8b", 5e-5),
    ("llama-70b", "llama-3.3-70b", 2e-5),
];

/// The world with everything that a user supplies. One line stands for a file of any length.
fn world() -> World {
    let mut world = World::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/shapes");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        for from in ["experiments/shapes", "experiments/r1/../shapes"] {
            world.add(&format!("{from}/{name}"), &text);
        }
    }
    for (file, columns) in DATA {
        let row: serde_json::Map<String, serde_json::Value> =
            columns.iter().map(|name| ((*name).to_owned(), "x".into())).collect();
        let text = serde_json::Value::Object(row).to_string();
        world.add(&format!("experiments/r1/../../data/{file}.jsonl"), &text);
    }
    let students = STUDENTS.map(|(name, ..)| format!("deepseek-r1-distill-{name}"));
    for model in students.iter().map(String::as_str).chain(["deepseek-v3-base"]) {
        let path = format!("experiments/r1/../../models/{model}/tokenizer.json");
        world.add(&path, "... <｜end▁of▁sentence｜> ...");
    }
    world
}

#[track_caller]
fn plan(name: &str) -> RunPlan {
    match world().resolve_file(&format!("experiments/r1/{name}.yaml"), &[]) {
        Ok(resolved) => resolved.plan,
        Err(report) => panic!("{name}: {}", render(&report)),
    }
}

#[track_caller]
fn shape(name: &str) -> ModelPlan {
    let path = format!("experiments/shapes/{name}.yaml");
    match describe(Path::new(&path), &[], &world()) {
        Ok(Described::Shape(shape)) => shape.model,
        Ok(Described::Run(_)) => panic!("{name} has stages"),
        Err(report) => panic!("{}", render(&report)),
    }
}

/// A model with the words, the length and the positions of another one.
fn with_words_of(model: &ModelPlan, other: &ModelPlan) -> ModelPlan {
    ModelPlan {
        tokenizer: other.tokenizer.clone(),
        context_length: other.context_length,
        ..model.clone()
    }
}

#[track_caller]
fn grpo<'a>(plan: &'a RunPlan, id: &str) -> &'a GrpoPlan {
    let stage = plan.stages.iter().find(|stage| stage.id == id).unwrap();
    match &stage.kind {
        StageKind::Grpo(grpo) => grpo,
        other => panic!("{id} is {}", other.as_str()),
    }
}

#[track_caller]
fn sft<'a>(plan: &'a RunPlan, id: &str) -> &'a SftPlan {
    let stage = plan.stages.iter().find(|stage| stage.id == id).unwrap();
    match &stage.kind {
        StageKind::Sft(sft) => sft,
        other => panic!("{id} is {}", other.as_str()),
    }
}

/// 512 questions with 16 answers are 8 192, which are 16 updates of 512.
#[track_caller]
fn has_rollouts_of_the_paper(grpo: &GrpoPlan) {
    assert_eq!(grpo.prompts_per_step * grpo.group_size, 8192);
    assert_eq!((grpo.group_size, grpo.updates_per_epoch, grpo.epochs), (16, 16, 1));
    assert_eq!(grpo.optimizer.lr, 3e-6);
    let LossPlan::Surrogate(loss) = &grpo.loss else { panic!("no surrogate") };
    // Every 400 updates.
    let kl = KlPlan { coef: 0.001, refresh_every: Some(400 / 16), ..testing::kl() };
    assert_eq!(loss.kl, kl);
    assert_eq!(loss.aggregation, Aggregation::SequenceMean);
}

#[test]
fn r1_zero_has_the_numbers_of_the_paper() {
    let plan = plan("r1-zero");
    let [first, second] = ["rl", "rl-long"].map(|id| grpo(&plan, id));
    has_rollouts_of_the_paper(first);
    has_rollouts_of_the_paper(second);
    assert_eq!((first.steps + second.steps) * 16, 10_400);
    // "Before step 8.2k".
    assert_eq!(first.steps * 16, 8192);
    assert_eq!((first.sampling.max_tokens, second.sampling.max_tokens), (32_768, 65_536));
    assert_eq!(first.sampling.temperature, 1.0);
    assert_eq!(with_words_of(&plan.model, &shape("deepseek-v3")), shape("deepseek-v3"));
}

#[test]
fn r1_has_the_stages_and_numbers_of_the_paper() {
    let plan = plan("r1");
    let kinds: Vec<&str> = plan.stages.iter().map(|stage| stage.kind.as_str()).collect();
    let wanted = [
        "sft",
        "grpo",
        "reject",
        "reject",
        "reject",
        "reject",
        "sft",
        "reward_model",
        "reward_model",
        "grpo",
        "grpo",
    ];
    assert_eq!(kinds, wanted);
    for id in ["reasoning-rl", "all-rl", "all-rl-preferences"] {
        has_rollouts_of_the_paper(grpo(&plan, id));
    }
    assert_eq!(grpo(&plan, "reasoning-rl").sampling.temperature, 1.0);
    let [reasoning, all] = ["all-rl", "all-rl-preferences"].map(|id| grpo(&plan, id));
    assert_eq!((reasoning.sampling.temperature, all.sampling.temperature), (0.7, 0.7));
    assert_eq!((all.steps * 16, (reasoning.steps + all.steps) * 16), (400, 1696));
    for id in ["cold-start", "sft"] {
        let sft = sft(&plan, id);
        assert_eq!((sft.batch_size, sft.optimizer.lr), (128, 5e-5), "{id}");
    }
    // Two passes over 804 745 rows.
    assert_eq!(sft(&plan, "sft").steps, 2 * 804_745 / 128);
}

#[test]
fn students_have_the_shapes_and_rates_of_the_paper() {
    for (name, wanted, lr) in STUDENTS {
        let plan = plan(&format!("distill-{name}"));
        let sft = sft(&plan, "distilled");
        assert_eq!((sft.batch_size, sft.optimizer.lr, sft.steps), (64, lr, 25_148), "{name}");
        let mut wanted = shape(wanted);
        if ["qwen-1.5b", "qwen-7b"].contains(&name) {
            // The bases for mathematics turn faster.
            wanted.rope.theta = 10_000.0;
        }
        assert_eq!(with_words_of(&plan.model, &wanted), wanted, "{name}");
    }
}
