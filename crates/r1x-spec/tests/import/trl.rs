//! What recipes of TRL and open-r1 leave to somebody: each of these was once passed over or told wrongly.

use std::path::Path;

use r1x_spec::import::{Beside, Findings, Imported, System, import};
use serde_json::json;

use super::{GRPO, beside, check, differs, imported, is_idle, left, sources};

#[track_caller]
fn recipe(system: System, text: &str) -> Imported {
    imported(system, text).unwrap_or_else(|report| panic!("{report}"))
}

#[track_caller]
fn trl(more: &str) -> Findings {
    recipe(System::Trl, &format!("{GRPO}{more}")).findings
}

/// A function that r1x has nothing like is one to be written, and no reason to train without it.
#[test]
fn functions_without_a_counterpart_are_left_to_be_written() {
    let text = "dataset_name: a/b\nmax_steps: 9\nreward_funcs: [cf_code, code_format, ioi_code]\n\
                reward_weights: [1.0, 0.1, 0.5]\n";
    check(
        System::OpenR1,
        text,
        &[
            ("rewards.cf_code.plugin", json!("./cf_code.py")),
            ("rewards.cf_code.weight", json!(1)),
            ("rewards.ioi_code.weight", json!(0.5)),
            ("stages.rl.grpo.rewards", json!(["cf_code", "code_format", "ioi_code"])),
        ],
    );
    let imported = recipe(System::OpenR1, text);
    let told = left(&imported.findings, "rewards.cf_code.plugin");
    assert!(told.contains("write the function `cf_code`"), "{told}");
    let end = "#   reward_funcs: cf_code, ioi_code\n";
    assert_eq!(imported.spec.matches("#   reward_funcs").count(), 1, "{}", imported.spec);
    assert!(imported.spec.contains(end), "{}", imported.spec);
}

#[test]
fn columns_that_rewards_read_are_to_be_filled_in() {
    let text = "dataset_name: a/b\nmax_steps: 9\nreward_funcs: [code, accuracy]\n";
    let found = recipe(System::OpenR1, text).findings;
    let tests = left(&found, "data.b.parquet.columns.tests");
    assert!(tests.contains("verification_info.test_cases"), "{tests}");
    let answer = left(&found, "data.b.parquet.columns.answer");
    assert!(answer.contains("the short answer"), "{answer}");
}

/// Defaults as the tags of TRL have them.
#[test]
fn defaults_that_were_others_are_told() {
    let found = trl("");
    for (key, text) in [
        ("temperature", "0.9 up to 0.17"),
        ("max_completion_length", "256 up to 1.9"),
        ("max_prompt_length", "512 up to 0.25"),
        ("top_k", "50 in 0.16 and 0.17"),
        ("loss_type", "`bnpo` from 0.17 to 0.21"),
    ] {
        assert!(differs(&found, key).ends_with(text), "{key}: {}", differs(&found, key));
    }
    assert_eq!(differs(&found, "use_bias_correction_kl"), "");
    let found = trl("beta: 0.02\ntemperature: 0.8\n");
    assert!(differs(&found, "use_bias_correction_kl").contains("false up to 1.9"));
    assert_eq!(differs(&found, "temperature"), "");
}

#[test]
fn keys_that_decide_are_told_so() {
    let found = trl("num_processes: 4\n");
    assert!(
        sources(&found, "stages.rl.grpo.prompts_per_step").contains(&"num_processes: 4".to_owned())
    );
    let fine = "dataset_name: a/b\nmax_length: 512\nmax_steps: 5\nnum_processes: 3\n";
    let fine = recipe(System::Trl, fine).findings;
    assert!(sources(&fine, "stages.sft.sft.batch_size").contains(&"num_processes: 3".to_owned()));
    // A twentieth of steps that nobody knows.
    let text =
        "dataset_name: a/b\nreward_funcs: accuracy_reward\nnum_train_epochs: 2\nsave_steps: 0.05\n";
    let unknown = import(System::Trl, Path::new("a.yaml"), text.as_bytes(), &beside(None));
    let found = unknown.unwrap_or_else(|report| panic!("{report}")).findings;
    let told = left(&found, "checkpoints.every");
    assert!(told.contains("each 0.05 of the steps") && !is_idle(&found, "save_steps"), "{told}");
}

#[test]
fn devices_are_counted_where_files_name_them() {
    let found = trl("accelerate_config: two_devices\nenv:\n  COLOURS: red\n");
    assert!(differs(&found, "accelerate_config").contains("`--devices N`"));
    assert!(found.unknown.is_empty() && is_idle(&found, "env.COLOURS"), "{:?}", found.unknown);
    // A key that is near a pattern is near no key.
    let found = trl("accelerator_confi: a\n");
    let told = &found.unknown[0].text;
    assert!(!told.contains('*'), "{told}");
}

/// 16 sequences, accumulated 4 times, are 64 completions of a device: 7 devices have groups of 14.
#[test]
fn the_smallest_number_of_devices_is_named() {
    let text = format!(
        "{GRPO}per_device_train_batch_size: 16\ngradient_accumulation_steps: 4\nnum_generations: 14\n"
    );
    let import = |devices: Option<u64>| {
        let beside = Beside { devices, ..beside(None) };
        import(System::Trl, Path::new("a.yaml"), text.as_bytes(), &beside)
    };
    for devices in [None, Some(3)] {
        let report = import(devices).expect_err("no whole groups");
        let help = report.diagnostics[0].help.clone().unwrap_or_default();
        assert!(help.contains("`--devices 7` is the smallest"), "{help}");
    }
    let found = import(Some(7)).unwrap_or_else(|report| panic!("{report}")).findings;
    let prompts = found.carried.iter().find(|one| one.path == "stages.rl.grpo.prompts_per_step");
    assert_eq!(prompts.map(|one| one.value.as_str()), Some("32"));
    let report = imported(System::Trl, &format!("{GRPO}generation_batch_size: 12\n"));
    let help = report.expect_err("no whole groups").diagnostics[0].help.clone();
    assert!(help.is_some_and(|help| help.contains("a multiple of 8")));
}

#[test]
fn one_prompt_is_one_prompt() {
    let told = differs(&trl(""), "per_device_train_batch_size");
    assert!(told.ends_with("8 completions are 1 prompt with 8 each"), "{told}");
    let text = format!("{GRPO}num_processes: 1\n");
    let assumed = recipe(System::Trl, &text).findings.assumed;
    assert!(assumed.iter().any(|text| text.contains("runs on 1 device (")), "{assumed:?}");
}
