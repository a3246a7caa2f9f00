//! Recipes of other systems: what comes out is a spec that can run, with every value where it belongs, and every key of the
//! recipe is accounted for.
//!
//! `R1X_BLESS=1` writes the specs beside the recipes, and the tables of `docs/from-trl.md`, anew.

mod common;

#[path = "import/hostile.rs"]
mod hostile;
#[path = "import/trl.rs"]
mod trl;
#[path = "import/verl.rs"]
mod verl;

use std::path::{Path, PathBuf};

use common::{SPEC, World, render};
use r1x_spec::import::{Beside, Findings, Imported, System, import, page};
use r1x_spec::{Report, Resolved};
use serde_json::{Value as Json, json};

const RECIPES: [(&str, System); 8] = [
    ("trl-grpo.yaml", System::Trl),
    ("trl-sft.yaml", System::Trl),
    ("open-r1-grpo.yaml", System::OpenR1),
    ("open-r1-sft.yaml", System::OpenR1),
    ("verl-gsm8k.sh", System::Verl),
    ("verl-dapo.sh", System::Verl),
    ("verl-ppo.sh", System::Verl),
    ("verl.yaml", System::Verl),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import")
}

fn beside(rows: Option<u64>) -> Beside {
    Beside { devices: None, rows, plugins: "../plugins".to_owned() }
}

fn recipe(name: &str, system: System, beside: &Beside) -> Imported {
    let bytes = std::fs::read(folder().join(name)).expect("a recipe");
    import(system, Path::new(name), &bytes, beside).unwrap_or_else(|report| panic!("{report}"))
}

fn imported(system: System, text: &str) -> Result<Imported, Report> {
    import(system, Path::new("recipe.yaml"), text.as_bytes(), &beside(Some(1_000)))
}

/// The spec in a world with the model, the data, the components and the functions that it names.
fn resolved(spec: &str) -> Result<Resolved, Report> {
    let yaml: Json = serde_yaml::from_str(spec).expect("YAML");
    let mut world = World { context_length: 65_536, ..World::new() };
    for plugin in ["math", "repetition"] {
        world.add(&format!("experiments/../plugins/{plugin}.wasm"), plugin);
    }
    let at = |path: &str| format!("experiments/{}", path.trim_start_matches("./"));
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let model = at(&text(&yaml["model"]["from"]));
    world.add(&format!("{model}/config.json"), "<end>");
    world.add(&format!("{model}/tokenizer.json"), "... <end> ...");
    world.add(&format!("{model}/chat"), "<begin>\nadds\na template");
    for data in yaml["data"].as_object().expect("data").values() {
        let row = json!({
            "prompt": [], "problem": "", "answer": "", "messages": [], "tests": [], "solution": "",
        });
        world.add(&at(&text(&data["parquet"]["path"])), &row.to_string());
    }
    for reward in yaml["rewards"].as_object().into_iter().flat_map(|all| all.values()) {
        let plugin = text(&reward["plugin"]);
        if plugin.ends_with(".py") {
            world.add(&at(&plugin), "format");
        }
    }
    world.add(SPEC, spec);
    world.resolve(&[])
}

#[test]
fn every_recipe_becomes_a_spec_that_can_run() {
    for (name, system) in RECIPES {
        for rows in [None, Some(7_473)] {
            let imported = recipe(name, system, &beside(rows));
            if let Err(report) = resolved(&imported.spec) {
                panic!("{name}\n{}\n{}", imported.spec, render(&report));
            }
        }
    }
}

#[test]
fn specs_are_what_stands_beside_the_recipes() {
    for (name, system) in RECIPES {
        let imported = recipe(name, system, &beside(Some(7_473)));
        let path = folder().join(format!("{name}.spec"));
        if std::env::var_os("R1X_BLESS").is_some() {
            std::fs::write(&path, &imported.spec).expect("a snapshot can be written");
        }
        let known = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(known, imported.spec, "R1X_BLESS=1 rewrites {}", path.display());
    }
}

/// Keys about which something is said.
fn known_keys(found: &Findings) -> Vec<String> {
    let told = found.differs.iter().chain(&found.unsupported).chain(&found.unknown);
    told.map(|told| told.key.clone()).collect()
}

/// A key of a recipe is carried over, or something is said about it, and what is said to be of no matter is so.
#[test]
fn every_key_of_a_recipe_is_accounted_for() {
    for ((name, system), rows) in
        RECIPES.into_iter().flat_map(|one| [(one, Some(7_473)), (one, None)])
    {
        let found = recipe(name, system, &beside(rows)).findings;
        let mut known = known_keys(&found);
        known.extend(found.no_matter.iter().flat_map(|group| group.keys.clone()));
        let left = found.fill_in.iter().flat_map(|left| &left.from);
        let from = found.carried.iter().flat_map(|carried| &carried.from).chain(left);
        let idle = found.no_matter.iter().flat_map(|group| &group.keys);
        for key in idle {
            let is_source = |from: &String| from.starts_with(&format!("{key}: "));
            assert!(
                !from.clone().any(is_source) && !known_keys(&found).contains(key),
                "{name}: `{key}` twice"
            );
        }
        known.extend(from.filter_map(|from| from.split(": ").next().map(str::to_owned)));
        let text = std::fs::read_to_string(folder().join(name)).expect("a recipe");
        let keys: Vec<&str> = match name.ends_with(".sh") {
            true => text
                .split_whitespace()
                .map(|word| word.trim_start_matches(['"', '+']))
                .filter_map(|word| word.split_once('=').map(|(key, _)| key))
                .filter(|key| key.contains('.') && !key.starts_with("trainer.total_epochs"))
                .collect(),
            false => text
                .lines()
                .filter(|line| !line.starts_with(['#', ' ', '-']))
                .filter_map(|line| line.split_once(':').map(|(key, _)| key))
                .collect(),
        };
        assert!(keys.len() > 4, "{name}: {keys:?}");
        for key in keys {
            let is_known =
                known.iter().any(|known| known == key || known.starts_with(&format!("{key}.")));
            assert!(is_known, "{name}: nothing is said of `{key}`: {known:?}");
        }
    }
}

/// The value at a path of a spec.
fn at<'s>(spec: &'s Json, path: &str) -> &'s Json {
    path.split('.').fold(spec, |node, step| match node {
        Json::Array(items) => items.iter().find(|item| item["id"] == step).unwrap_or(&Json::Null),
        _ => &node[step],
    })
}

/// What is said to be different about a key.
fn differs(found: &Findings, key: &str) -> String {
    let told = found.differs.iter().filter(|told| told.key == key);
    told.map(|told| told.text.clone()).collect::<Vec<_>>().join("; ")
}

/// What is left to do about a path.
fn left(found: &Findings, path: &str) -> String {
    let left = found.fill_in.iter().filter(|left| left.path == path);
    left.map(|left| left.text.clone()).collect::<Vec<_>>().join("; ")
}

/// The keys that a value of the spec came from.
fn sources(found: &Findings, path: &str) -> Vec<String> {
    let carried = found.carried.iter().filter(|carried| carried.path == path);
    carried.flat_map(|carried| carried.from.clone()).collect()
}

/// Whether a key is among those of no matter.
fn is_idle(found: &Findings, key: &str) -> bool {
    found.no_matter.iter().any(|group| group.keys.iter().any(|known| known == key))
}

#[track_caller]
fn check(system: System, text: &str, expected: &[(&str, Json)]) {
    let imported = imported(system, text).unwrap_or_else(|report| panic!("{report}"));
    let spec: Json = serde_yaml::from_str(&imported.spec).expect("YAML");
    for (path, value) in expected {
        assert_eq!(at(&spec, path), value, "{path}\n{}", imported.spec);
    }
    if let Err(report) = resolved(&imported.spec) {
        panic!("{}\n{}", imported.spec, render(&report));
    }
}

const GRPO: &str =
    "dataset_name: a/b\nmodel_name_or_path: a/m\nreward_funcs: accuracy_reward\nmax_steps: 60\n";

/// 16 sequences on each of 2 devices, accumulated 4 times, are 128 completions, of which 8 are of one prompt.
#[test]
fn batches_of_trl_are_worked_out_from_sequences_of_a_device() {
    let text = format!(
        "{GRPO}num_processes: 2\nper_device_train_batch_size: 16\ngradient_accumulation_steps: 4\n"
    );
    let rl = |key: &str| format!("stages.rl.grpo.{key}");
    let simple = [
        (rl("prompts_per_step"), json!(16)),
        (rl("group_size"), json!(8)),
        (rl("updates_per_epoch"), json!(1)),
        (rl("micro_batch_size"), json!(16)),
        (rl("steps"), json!(60)),
    ];
    let of = |pairs: &[(String, Json)]| -> Vec<(String, Json)> { pairs.to_vec() };
    let run = |text: &str, pairs: Vec<(String, Json)>| {
        let pairs: Vec<(&str, Json)> =
            pairs.iter().map(|(path, value)| (path.as_str(), value.clone())).collect();
        check(System::Trl, text, &pairs);
    };
    run(&text, of(&simple));
    // Twice as many micro-steps before the next rollouts are two updates of one batch, and two passes make four.
    let text = format!(
        "{text}steps_per_generation: 8\nnum_iterations: 2\nwarmup_steps: 9\nsave_steps: 10\n"
    );
    run(
        &text,
        of(&[
            (rl("prompts_per_step"), json!(32)),
            (rl("updates_per_epoch"), json!(2)),
            (rl("epochs"), json!(2)),
            (rl("steps"), json!(15)),
            (rl("schedule.warmup_steps"), json!(3)),
            ("checkpoints.every".to_owned(), json!(2)),
        ]),
    );
}

/// 1000 problems, 8 prompts a step, are 125 steps a pass; a tenth of 250 updates warms up.
#[test]
fn passes_become_steps() {
    let text = "dataset_name: a/b\nnum_generations: 4\nreward_funcs: accuracy_reward\nnum_train_epochs: 2\n\
                per_device_train_batch_size: 32\nwarmup_ratio: 0.1\n";
    check(
        System::Trl,
        text,
        &[
            ("stages.rl.grpo.prompts_per_step", json!(8)),
            ("stages.rl.grpo.steps", json!(250)),
            ("stages.rl.grpo.schedule.warmup_steps", json!(25)),
        ],
    );
    // 1000 examples, 48 at a time, are 21 batches, the last of which is smaller.
    let text = "dataset_name: a/b\nmax_length: 512\nnum_train_epochs: 3\nper_device_train_batch_size: 48\n";
    check(
        System::Trl,
        text,
        &[("stages.sft.sft.steps", json!(63)), ("stages.sft.sft.batch_size", json!(48))],
    );
}

#[test]
fn losses_of_trl_are_the_settings_they_stand_for() {
    let rl = |key: &str| format!("stages.rl.grpo.{key}");
    for (more, expected) in [
        (
            "",
            [
                ("aggregation", json!("token_mean")),
                ("clip.high", json!(0.2)),
                ("clip.kind", json!("pessimistic")),
            ],
        ),
        (
            "loss_type: grpo\nepsilon_high: 0.28\n",
            [
                ("aggregation", json!("sequence_mean")),
                ("clip.low", json!(0.2)),
                ("clip.high", json!(0.28)),
            ],
        ),
        (
            "loss_type: dr_grpo\nscale_rewards: false\ndelta: 4\n",
            [
                ("aggregation", json!("fixed_length")),
                ("advantage.kind", json!("group_centered")),
                ("clip.max_ratio", json!(4)),
            ],
        ),
        (
            "loss_type: cispo\nepsilon_high: 5.0\n",
            [("clip.kind", json!("weight")), ("clip.high", json!(4)), ("clip.low", Json::Null)],
        ),
        (
            "loss_type: sapo\nsapo_temperature_neg: 1.1\n",
            [
                ("clip.kind", json!("sigmoid")),
                ("clip.tau_negative", json!(1.1)),
                ("clip.high", Json::Null),
            ],
        ),
        (
            "importance_sampling_level: sequence\nepsilon: 3e-4\nepsilon_high: 4e-4\n",
            [("ratio", json!("sequence")), ("clip.low", json!(3e-4)), ("clip.high", json!(4e-4))],
        ),
        (
            "beta: 0.04\nsync_ref_model: true\nref_model_mixup_alpha: 1.0\nref_model_sync_steps: 20\n",
            [
                ("kl.coef", json!(0.04)),
                ("kl.estimator", json!("k3_unbiased")),
                ("kl.refresh_every", json!(20)),
            ],
        ),
    ] {
        let expected: Vec<(String, Json)> =
            expected.into_iter().map(|(key, value)| (rl(key), value)).collect();
        let expected: Vec<(&str, Json)> =
            expected.iter().map(|(path, value)| (path.as_str(), value.clone())).collect();
        check(System::Trl, &format!("{GRPO}{more}"), &expected);
    }
}

#[test]
fn what_r1x_does_not_have_is_said() {
    let unsupported = |system: System, text: &str| -> Vec<String> {
        let imported = imported(system, text).unwrap_or_else(|report| panic!("{report}"));
        imported.findings.unsupported.into_iter().map(|told| told.key).collect()
    };
    let trl = |more: &str| unsupported(System::Trl, &format!("{GRPO}{more}"));
    assert_eq!(trl(""), Vec::<String>::new());
    assert_eq!(trl("use_adaptive_entropy: true\n"), ["use_adaptive_entropy"]);
    assert_eq!(trl("entropy_coef: 0.01\ntop_entropy_quantile: 0.2\n"), Vec::<String>::new());
    assert_eq!(trl("beta: 0.04\nsync_ref_model: true\n"), Vec::<String>::new());
    assert_eq!(trl("loss_type: bnpo\n"), ["loss_type"]);
    assert_eq!(trl("loss_type: cispo\n"), ["epsilon"]);
    let verl = |more: &str| {
        let text = format!(
            "algorithm: {{adv_estimator: grpo{more}}}\nactor_rollout_ref: {{rollout: {{n: 4}}}}\n"
        );
        unsupported(System::Verl, &text)
    };
    assert_eq!(verl(""), Vec::<String>::new());
    assert_eq!(verl(", use_pf_ppo: true"), ["algorithm.use_pf_ppo"]);
    assert_eq!(verl(", filter_groups: {enable: true}"), Vec::<String>::new());
    let grpo = |system: System, text: &str| -> Json {
        let imported = imported(system, text).unwrap_or_else(|report| panic!("{report}"));
        let spec: Json = serde_yaml::from_str(&imported.spec).expect("YAML");
        let stages = spec["stages"].as_array().expect("stages").clone();
        stages[0]["grpo"].clone()
    };
    let text = format!(
        "{GRPO}beta: 0.04\nsync_ref_model: true\nref_model_mixup_alpha: 0.5\nentropy_coef: 0.01\n\
         top_entropy_quantile: 0.2\noff_policy_mask_threshold: 0.3\n"
    );
    let stage = grpo(System::Trl, &text);
    assert_eq!(stage["entropy"], json!({"coef": 0.01, "top_share": 0.2}));
    assert_eq!(stage["kl"]["estimator"], "k3_unbiased");
    assert_eq!(stage["kl"]["refresh_mix"], 0.5);
    assert_eq!(stage["clip"]["max_divergence"], 0.3);
    let text = "algorithm: {adv_estimator: rloo, use_kl_in_reward: true, kl_ctrl: {kl_coef: 0.01}, filter_groups: {enable: true, \
                max_num_gen_batches: 4}}\nactor_rollout_ref: {rollout: {n: 4}, actor: {entropy_coeff: 0.001}}\n";
    let stage = grpo(System::Verl, text);
    assert_eq!((&stage["kl"]["in"], &stage["kl"]["coef"]), (&json!("reward"), &json!(0.01)));
    assert_eq!((&stage["zero_signal"], &stage["max_batches"]), (&json!("resample"), &json!(4)));
    assert_eq!(stage["entropy"]["coef"], 0.001);
}

/// What a tag gives, less what it gives when it comes twice, is what `text.count(tag) == 1` gives.
#[test]
fn rewards_of_open_r1_add_up_to_what_they_were() {
    let text = "reward_funcs: [tag_count, cosine]\nreward_weights: [2.0, 0.5]\n";
    let imported = imported(System::OpenR1, text).unwrap_or_else(|report| panic!("{report}"));
    let spec: Json = serde_yaml::from_str(&imported.spec).expect("YAML");
    let weight = |id: &str| spec["rewards"][id]["weight"].as_f64();
    assert_eq!([weight("tag_1"), weight("tag_4_twice")], [Some(0.5), Some(-0.5)]);
    let cosine = ["cosine_wrong", "cosine_wrong_back", "cosine_right", "accuracy"].map(weight);
    assert_eq!(cosine, [Some(0.5), Some(-0.5), Some(0.5), Some(0.0)]);
    assert_eq!(
        spec["rewards"]["cosine_right"]["only_if"],
        json!({"reward": "accuracy", "at_least": 1})
    );
    let with = &spec["rewards"]["cosine_wrong"]["with"];
    assert_eq!(
        [&with["start"], &with["end"], &with["max"]],
        [&json!(0), &json!(-0.5), &json!(1000)]
    );
}

#[test]
fn the_page_has_the_tables_of_keys() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/from-trl.md");
    let mut text = std::fs::read_to_string(&path).expect("the page");
    for system in System::ALL {
        let open = format!("<!-- keys of {} -->\n", system.word());
        let close = format!("<!-- end of keys of {} -->", system.word());
        let begin = text.find(&open).map(|at| at + open.len()).expect("an opening mark");
        let end = text.find(&close).expect("a closing mark");
        let wanted = format!("\n{}\n", page(system));
        if text[begin..end] != wanted {
            assert!(
                std::env::var_os("R1X_BLESS").is_some(),
                "the tables of docs/from-trl.md are stale: R1X_BLESS=1 cargo test --release -p r1x-spec --test import"
            );
            text.replace_range(begin..end, &wanted);
            std::fs::write(&path, &text).expect("docs can be written");
        }
    }
}
