//! What verl does that its keys do not say: each of these recipes was once imported as something else.

use std::path::Path;

use r1x_spec::import::{Imported, System, import};
use serde_json::{Value as Json, json};

use super::{at, beside, check, differs, imported, is_idle, left, sources};

const BEGIN: &str = "algorithm.adv_estimator: grpo\nactor_rollout_ref.rollout.n: 4\n";
const STEPS: &str = "trainer.total_training_steps: 60\n";

/// A recipe of verl with more keys.
#[track_caller]
fn recipe(more: &str) -> Imported {
    let text = format!("{BEGIN}{more}");
    imported(System::Verl, &text).unwrap_or_else(|report| panic!("{report}"))
}

/// Checks values of a recipe with more keys, which must be a spec that can run.
#[track_caller]
fn expect(more: &str, expected: &[(&str, Json)]) {
    check(System::Verl, &format!("{BEGIN}{STEPS}{more}"), expected);
}

fn unsupported(imported: &Imported) -> Vec<&str> {
    imported.findings.unsupported.iter().map(|told| told.key.as_str()).collect()
}

#[test]
fn answers_are_judged_by_the_file_and_its_folder() {
    for (file, extract, weight) in [
        ("~/sets/dapo-maths-9k.parquet", "last_number", 2),
        ("/home/math/sets/dapo-maths-9k.parquet", "last_number", 2),
        ("~/sets/Math_DAPO/train.parquet", "last_number", 2),
        ("~/sets/aime-1999/train.parquet", "last_number", 2),
        ("~/sets/maths/train.parquet", "boxed", 1),
    ] {
        let text = format!("data.train_files: {file}\n");
        expect(
            &text,
            &[
                ("rewards.right.with.extract", json!([extract])),
                ("rewards.right.weight", json!(weight)),
            ],
        );
        let told = differs(&recipe(&text).findings, "data.train_files");
        assert_eq!(told.contains("`Answer:`") && told.contains("-1"), weight == 2, "{told}");
    }
    // The home of somebody who does mathematics says nothing of the rows.
    let text = "data.train_files: /home/math/sets/colours/train.parquet\n";
    expect(text, &[("rewards.reward.plugin", json!("./reward.py"))]);
}

#[test]
fn a_bound_of_weights_below_zero_is_one_that_never_binds() {
    const LOW: &str = "actor_rollout_ref.actor.clip_ratio_low";
    for (low, expected, is_told) in [(7.0, json!(1), true), (0.3, json!(0.3), false)] {
        let text = format!(
            "actor_rollout_ref.actor.policy_loss.loss_mode: cispo\n{LOW}: {low}\n\
             actor_rollout_ref.actor.clip_ratio_high: 0.5\n"
        );
        expect(
            &text,
            &[
                ("stages.rl.grpo.clip.kind", json!("weight")),
                ("stages.rl.grpo.clip.low", expected),
                ("stages.rl.grpo.clip.high", json!(0.5)),
            ],
        );
        assert_eq!(differs(&recipe(&text).findings, LOW).contains("never binds"), is_told);
    }
}

#[test]
fn losses_of_sequences_have_a_mean_over_sequences() {
    const KEY: &str = "actor_rollout_ref.actor.loss_agg_mode";
    let of = |loss: &str, words: &str, expected: &str| -> String {
        let text = format!("actor_rollout_ref.actor.policy_loss.loss_mode: {loss}\n{words}");
        expect(&text, &[("stages.rl.grpo.aggregation", json!(expected))]);
        differs(&recipe(&text).findings, KEY)
    };
    for loss in ["gspo", "sapo", "geo_mean"] {
        assert_eq!(of(loss, "", "sequence_mean"), "");
        assert_eq!(of(loss, &format!("{KEY}: seq-mean-token-mean\n"), "sequence_mean"), "");
        let told = of(loss, &format!("{KEY}: token-mean\n"), "sequence_mean");
        assert!(told.contains(&format!("verl ignores it for `{loss}`")), "{told}");
    }
    assert_eq!(of("vanilla", "", "token_mean"), "");
    assert_eq!(of("vanilla", &format!("{KEY}: seq-mean-token-mean\n"), "sequence_mean"), "");
}

/// The loader draws 96 problems at a time for steps of 32, and 5 draws are 15 batches of a step.
#[test]
fn passes_and_limits_count_what_the_loader_draws() {
    const MOST: &str = "algorithm.filter_groups.max_num_gen_batches";
    let begin = "data.train_batch_size: 32\nalgorithm.filter_groups.enable: true\n\
                 actor_rollout_ref.actor.ppo_mini_batch_size: 32\n";
    let text = format!("{begin}data.gen_batch_size: 96\n{MOST}: 5\ntrainer.total_epochs: 3\n");
    check(
        System::Verl,
        &format!("{BEGIN}{text}"),
        &[
            // 1000 problems are ten whole draws.
            ("stages.rl.grpo.steps", json!(30)),
            ("stages.rl.grpo.prompts_per_step", json!(32)),
            ("stages.rl.grpo.max_batches", json!(15)),
        ],
    );
    let told = differs(&recipe(&text).findings, MOST);
    assert!(told.contains("96 prompts") && told.contains("ends with an error"), "{told}");
    let unknown = import(
        System::Verl,
        Path::new("recipe.yaml"),
        format!("{BEGIN}{text}").as_bytes(),
        &beside(None),
    )
    .unwrap_or_else(|report| panic!("{report}"));
    let steps = left(&unknown.findings, "stages.rl.grpo.steps");
    assert!(steps.contains("3 x the number of problems / 96"), "{steps}");
    for (more, batches) in [
        ("", 1000),
        ("algorithm.filter_groups.max_num_gen_batches: 0\n", 1000),
        ("algorithm.filter_groups.max_num_gen_batches: 1\n", 2),
        ("algorithm.filter_groups.max_num_gen_batches: 6\n", 6),
    ] {
        let text = format!("{begin}algorithm.filter_groups.metric: acc\n{more}");
        expect(&text, &[("stages.rl.grpo.max_batches", json!(batches))]);
        let found = recipe(&text).findings;
        assert_eq!(differs(&found, MOST).contains("no limit"), batches == 1000);
        let told = differs(&found, "algorithm.filter_groups.metric");
        assert!(told.contains("the total of all rewards"), "{told}");
    }
}

#[test]
fn pictures_are_missed_where_a_recipe_has_some() {
    let lost = |imported: &Imported| {
        unsupported(imported).iter().filter(|key| key.starts_with("data.")).count()
    };
    let defaults = "data.image_key: images\ndata.video_key: videos\n";
    assert_eq!(lost(&recipe(defaults)), 0);
    assert_eq!(lost(&recipe("data.image_key: pictures\n")), 1);
    let model = "actor_rollout_ref.model.path: some/Model-2-VL-3B\n";
    assert_eq!(lost(&recipe(&format!("{defaults}{model}"))), 2);
    let text = "python3 -m verl.trainer.main_ppo algorithm.adv_estimator=grpo \\\n  \
                actor_rollout_ref.rollout.n=4 data.image_key=images\n";
    let script = import(System::Verl, Path::new("run.sh"), text.as_bytes(), &beside(None));
    assert_eq!(lost(&script.unwrap_or_else(|report| panic!("{report}"))), 1);
}

#[test]
fn verl_asks_before_a_training_without_a_frequency() {
    let files = "data.val_files: data/colours/test.parquet\n";
    let moments = |more: &str, expected: Json| {
        expect(&format!("{files}{more}"), &[("evals.heldout.when", expected)]);
    };
    moments("", json!({"at": ["start"]}));
    moments("trainer.test_freq: 6\n", json!({"at": ["start", "stage_end"], "every": 6}));
    let text = "trainer.test_freq: 6\ntrainer.val_before_train: false\n";
    moments(text, json!({"at": ["stage_end"], "every": 6}));
    let none = recipe(&format!("{files}trainer.val_before_train: false\n"));
    assert!(!none.spec.contains("evals:"), "{}", none.spec);
}

#[test]
fn greedy_answers_are_taken_once() {
    const COUNT: &str = "actor_rollout_ref.rollout.val_kwargs.n";
    let files = format!("data.val_files: data/colours/test.parquet\n{COUNT}: 12\n");
    let sampled = "actor_rollout_ref.rollout.val_kwargs.do_sample: true\n";
    let warm = "actor_rollout_ref.rollout.val_kwargs.temperature: 0.7\n";
    for (more, samples, temperature) in [
        (String::new(), 1, json!(0)),
        (warm.to_owned(), 1, json!(0)),
        (sampled.to_owned(), 1, json!(0)),
        (format!("{sampled}{warm}"), 12, json!(0.7)),
    ] {
        let text = format!("{files}{more}");
        expect(
            &text,
            &[
                ("evals.heldout.samples", json!(samples)),
                ("evals.heldout.sampling.temperature", temperature),
            ],
        );
        let told = differs(&recipe(&text).findings, COUNT);
        assert_eq!(told.contains("the 12 answers to a problem are equal"), samples == 1, "{told}");
    }
}

#[test]
fn adapters_and_schedules_of_megatron_are_carried_over() {
    let text = "actor_rollout_ref.model.lora.rank: 6\nactor_rollout_ref.model.lora.alpha: 12\n\
                actor_rollout_ref.model.lora.target_modules: [linear_proj, linear_qkv]\n\
                actor_rollout_ref.actor.optim.lr_decay_style: cosine\n";
    let adapted = recipe(text);
    let spec: Json = serde_yaml::from_str(&adapted.spec).expect("YAML");
    let lora = json!({"rank": 6, "alpha": 12, "targets": ["q_proj", "k_proj", "v_proj", "o_proj"]});
    assert_eq!(at(&spec, "model.lora"), &lora);
    assert_eq!(at(&spec, "stages.rl.grpo.schedule.kind"), "cosine");
    assert!(adapted.findings.unknown.is_empty(), "{:?}", adapted.findings.unknown);
    assert!(unsupported(&adapted).is_empty(), "{:?}", unsupported(&adapted));
    let plain = recipe("actor_rollout_ref.model.lora.rank: 0\n");
    assert!(!plain.spec.contains("lora:"), "{}", plain.spec);
}

#[test]
fn differences_of_warm_ups_and_penalties_are_told() {
    const WARMUP: &str = "actor_rollout_ref.actor.optim.lr_warmup_steps";
    let found = recipe(&format!("{STEPS}{WARMUP}: 8\n")).findings;
    let told = differs(&found, WARMUP);
    assert!(told.contains("verl 0, 1/4, 1/2 and 3/4"), "{told}");
    // It is told as well where it is left to be filled in, and not where nothing warms up.
    let unknown = format!("{BEGIN}{WARMUP}: 8\n");
    let unknown = import(System::Verl, Path::new("recipe.yaml"), unknown.as_bytes(), &beside(None))
        .unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(differs(&unknown.findings, WARMUP), told);
    assert_eq!(differs(&recipe(&format!("{STEPS}{WARMUP}: 0\n")).findings, WARMUP), "");
    const IN_REWARD: &str = "algorithm.use_kl_in_reward";
    const KIND: &str = "algorithm.kl_ctrl.type";
    let used = recipe(&format!("{IN_REWARD}: true\n{KIND}: adaptive\n"));
    let told = differs(&used.findings, IN_REWARD);
    assert!(told.contains("takes the penalty of each token off its reward"), "{told}");
    assert_eq!(unsupported(&used), [KIND]);
    let unused = recipe(&format!("{KIND}: adaptive\n"));
    assert!(unsupported(&unused).is_empty() && is_idle(&unused.findings, KIND));
}

#[test]
fn keys_without_a_value_are_accounted_for() {
    let text = "actor_rollout_ref.rollout.name: ???\ndata.seed: ${nowhere}\n\
                actor_rollout_ref.actor.grad_clip: ${oc.select:no.where,null}\nnothing.at.all: ???\n";
    let found = recipe(text).findings;
    assert!(is_idle(&found, "actor_rollout_ref.rollout.name") && is_idle(&found, "data.seed"));
    assert_eq!(
        sources(&found, "stages.rl.grpo.grad_clip"),
        ["actor_rollout_ref.actor.grad_clip: 1 (default)"]
    );
    let unknown: Vec<&str> = found.unknown.iter().map(|told| told.key.as_str()).collect();
    assert_eq!(unknown, ["nothing.at.all"]);
}

#[test]
fn what_only_a_shell_knows_is_no_name() {
    let text = "python3 -m verl.trainer.main_ppo algorithm.adv_estimator=grpo \\\n  \
                actor_rollout_ref.rollout.n=4 trainer.experiment_name=$(basename $0 .sh)\n";
    let named = import(System::Verl, Path::new("colours.sh"), text.as_bytes(), &beside(None))
        .unwrap_or_else(|report| panic!("{report}"));
    assert!(named.spec.contains("\nname: colours\n"), "{}", named.spec);
    assert!(differs(&named.findings, "trainer.experiment_name").contains("only a shell"));
}

#[test]
fn keys_of_profiles_and_machines_decide_nothing() {
    let keys = [
        "actor_rollout_ref.actor.optim._target_",
        "algorithm.filter_groups._target_",
        "actor_rollout_ref.profiler.discrete",
        "trainer.profile_steps",
        "trainer.worker_nsight_options.trace",
        "trainer.controller_nsight_options.trace",
        "trainer.npu_profile.level",
        "actor_rollout_ref.rollout.nnodes",
        "actor_rollout_ref.rollout.n_gpus_per_node",
    ];
    let text: String = keys.iter().map(|key| format!("{key}: x\n")).collect();
    let found = recipe(&text).findings;
    for key in keys {
        assert!(is_idle(&found, key), "{key}: {:?}", found.unknown);
    }
}
