//! The shipped shapes of published models: `r1x plan` shows them, they say what the published configurations say, and
//! they run once they have words.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use r1x_core::plan::{FeedForwardPlan, ModelPlan, Precision, TokenizerPlan};
use r1x_model::Published;
use serde_json::{Value, json};

fn shapes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/shapes")
}

fn r1x(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_r1x")).args(arguments).output().unwrap()
}

#[track_caller]
fn ok(arguments: &[&str]) -> String {
    let output = r1x(arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {message}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn plan(name: &str, more: &[&str]) -> Value {
    let path = shapes().join(format!("{name}.yaml"));
    let mut arguments = vec!["plan", path.to_str().unwrap(), "--json"];
    arguments.extend(more);
    serde_json::from_str(&ok(&arguments)).unwrap()
}

fn model(name: &str) -> ModelPlan {
    serde_json::from_value(plan(name, &[])["model"].clone()).unwrap()
}

/// A plan as the folder of a published model with this configuration says it.
fn published(config: &Value) -> ModelPlan {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let none = TokenizerPlan::Vocabulary { pieces: Vec::new() };
    Published::open(folder.path()).unwrap().plan(none, Precision::Bf16)
}

/// What balances the load of experts is no part of a published model.
fn unbalanced(mut plan: ModelPlan) -> ModelPlan {
    if let FeedForwardPlan::Moe(moe) = &mut plan.feed_forward {
        (moe.bias_update_speed, moe.balance_loss) = (0.0, 0.0);
    }
    plan
}

/// Keys of published configurations, those that say something about the shape.
fn configurations() -> Vec<(&'static str, Value)> {
    deepseek().into_iter().chain(with_grouped_queries()).collect()
}

fn deepseek() -> Vec<(&'static str, Value)> {
    let yarn = |scale: f64| {
        json!({
            "type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32,
            "beta_slow": 1, "mscale": scale, "mscale_all_dim": scale,
        })
    };
    vec![
        (
            "deepseek-v3",
            json!({
                "model_type": "deepseek_v3", "vocab_size": 129_280, "hidden_size": 7168, "num_hidden_layers": 61,
                "intermediate_size": 18_432, "moe_intermediate_size": 2048, "first_k_dense_replace": 3,
                "moe_layer_freq": 1, "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8,
                "n_group": 8, "topk_group": 4, "topk_method": "noaux_tc", "scoring_func": "sigmoid",
                "norm_topk_prob": true, "routed_scaling_factor": 2.5, "num_attention_heads": 128,
                "num_key_value_heads": 128, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
                "qk_rope_head_dim": 64, "v_head_dim": 128, "attention_bias": false, "rms_norm_eps": 1e-6,
                "hidden_act": "silu", "initializer_range": 0.02, "max_position_embeddings": 163_840,
                "rope_theta": 10_000, "rope_scaling": yarn(1.0), "tie_word_embeddings": false,
                "num_nextn_predict_layers": 1,
            }),
        ),
        (
            "deepseek-v2-lite",
            json!({
                "model_type": "deepseek_v2", "vocab_size": 102_400, "hidden_size": 2048, "num_hidden_layers": 27,
                "intermediate_size": 10_944, "moe_intermediate_size": 1408, "first_k_dense_replace": 1,
                "moe_layer_freq": 1, "n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6,
                "n_group": 1, "topk_group": 1, "topk_method": "greedy", "scoring_func": "softmax",
                "norm_topk_prob": false, "routed_scaling_factor": 1.0, "num_attention_heads": 16,
                "num_key_value_heads": 16, "q_lora_rank": null, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
                "qk_rope_head_dim": 64, "v_head_dim": 128, "attention_bias": false, "rms_norm_eps": 1e-6,
                "hidden_act": "silu", "initializer_range": 0.02, "max_position_embeddings": 163_840,
                "rope_theta": 10_000, "rope_scaling": yarn(0.707), "tie_word_embeddings": false,
            }),
        ),
    ]
}

fn with_grouped_queries() -> Vec<(&'static str, Value)> {
    let llama3 = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    });
    vec![
        (
            "llama-3.1-8b",
            json!({
                "model_type": "llama", "vocab_size": 128_256, "hidden_size": 4096, "num_hidden_layers": 32,
                "intermediate_size": 14_336, "num_attention_heads": 32, "num_key_value_heads": 8,
                "attention_bias": false, "mlp_bias": false, "rms_norm_eps": 1e-5, "hidden_act": "silu",
                "initializer_range": 0.02, "max_position_embeddings": 131_072, "rope_theta": 500_000.0,
                "rope_scaling": llama3, "tie_word_embeddings": false,
            }),
        ),
        (
            "qwen2.5-32b",
            json!({
                "model_type": "qwen2", "vocab_size": 152_064, "hidden_size": 5120, "num_hidden_layers": 64,
                "intermediate_size": 27_648, "num_attention_heads": 40, "num_key_value_heads": 8,
                "rms_norm_eps": 1e-5, "hidden_act": "silu", "initializer_range": 0.02,
                "max_position_embeddings": 131_072, "max_window_layers": 64, "sliding_window": 131_072,
                "use_sliding_window": false, "rope_theta": 1_000_000.0, "tie_word_embeddings": false,
            }),
        ),
        (
            "qwen3-30b-a3b",
            json!({
                "model_type": "qwen3_moe", "vocab_size": 151_936, "hidden_size": 2048, "num_hidden_layers": 48,
                "intermediate_size": 6144, "moe_intermediate_size": 768, "num_experts": 128,
                "num_experts_per_tok": 8, "norm_topk_prob": true, "decoder_sparse_step": 1, "mlp_only_layers": [],
                "head_dim": 128, "num_attention_heads": 32, "num_key_value_heads": 4, "attention_bias": false,
                "rms_norm_eps": 1e-6, "hidden_act": "silu", "initializer_range": 0.02,
                "max_position_embeddings": 40_960, "rope_theta": 1_000_000.0, "rope_scaling": null,
                "use_sliding_window": false, "tie_word_embeddings": false,
            }),
        ),
        (
            "smollm2-135m",
            json!({
                "model_type": "llama", "vocab_size": 49_152, "hidden_size": 576, "num_hidden_layers": 30,
                "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3,
                "rms_norm_eps": 1e-5, "hidden_act": "silu", "initializer_range": 0.041_666_666_666_666_664,
                "max_position_embeddings": 8192, "rope_theta": 100_000, "rope_scaling": null,
                "tie_word_embeddings": true,
            }),
        ),
    ]
}

/// One of each family. The two are written by different hands in different words and read by different code.
#[test]
fn a_shape_says_what_the_published_configuration_says() {
    for (name, config) in configurations() {
        assert_eq!(unbalanced(model(name)), unbalanced(published(&config)), "{name}");
    }
}

#[test]
fn plan_shows_every_shape_and_what_it_takes() {
    let mut count = 0;
    for entry in std::fs::read_dir(shapes()).unwrap() {
        let path = entry.unwrap().path();
        let path = path.to_str().unwrap();
        let page = ok(&["plan", path, "--device-memory", "80GiB"]);
        for word in ["active per token", "cache ", "forward ", "moments ", "devices ", "a shape:"] {
            assert!(page.contains(word), "{path}: no {word} in\n{page}");
        }
        count += 1;
    }
    assert!(count > 20, "only {count} shapes");
}

/// DeepSeek-V3 by hand: 61 layers cache 512 + 64 numbers of two bytes; a token multiplies with its 37 552 282 624
/// parameters but for the 129 280 · 7168 of the embedding.
#[test]
fn what_a_model_takes_is_as_worked_by_hand() {
    let large = plan("deepseek-v3", &["--device-memory", "80GiB"]);
    let cost = &large["model_cost"];
    assert_eq!(cost["cache_token_bytes"], 70_272);
    assert_eq!(cost["cache_context_bytes"], 70_272_u64 * 163_840);
    assert_eq!(cost["token_flops"], 2.0 * (37_552_282_624.0 - 926_679_040.0));
    // 61 layers of 128 heads, each 192 and 128 products and sums for each position.
    let attention = 61.0 * 2.0 * 128.0 * 320.0 * 163_840.0;
    assert_eq!(cost["last_token_flops"], 2.0 * 36_625_603_584.0 + attention);
    assert_eq!(cost["factor_bytes"], 2 * 671_026_419_200_u64);
    assert_eq!(cost["master_bytes"], 4 * 671_026_404_352_u64);
    assert_eq!(cost["gradient_bytes"], cost["master_bytes"]);
    assert_eq!(cost["moment_bytes"], 8 * 671_026_404_352_u64);
    // (1 342 052 838 400 + 11 513 364 480) / 85 899 345 920 = 15.76.
    assert_eq!(large["devices"]["sampling"], 16);
    assert!(large["devices"]["training"].as_u64().unwrap() > 141, "14 bytes a parameter alone");
    let windowed = [
        "--set",
        "model.attention.gqa.window={size: 1024, layers: 12}",
        "--set",
        "model.precision=f32",
    ];
    let cost = &plan("qwen2.5-0.5b", &windowed)["model_cost"];
    // 2 · 2 · 64 numbers of four bytes; 12 layers keep all of 32 768 positions, and 12 keep 1 024.
    assert_eq!(cost["cache_token_bytes"], 24 * 1024);
    assert_eq!(cost["cache_context_bytes"], 1024_u64 * 12 * (32_768 + 1024));
    assert_eq!(cost["factor_bytes"], cost["master_bytes"], "nothing is rounded");
}

/// A shape has no words, so nothing can be run, and that is what is said; with words it trains.
#[test]
fn a_shape_runs_once_it_has_data_and_words() {
    let shape = shapes().join("smollm2-135m.yaml");
    for command in ["run", "check"] {
        let output = r1x(&[command, shape.to_str().unwrap()]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{message}");
        assert!(message.contains("this spec is the shape of a model"), "{message}");
    }
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("spec.yaml");
    let write = |tokenizer: &str| {
        let text = format!(
            "r1x: 1\nextends: {}\nname: small\nmodel: {{{tokenizer}layers: 1, context_length: 32}}\ndata:\n  sums:\n    \
             countdown: {{count: 2, numbers: [1, 9], target: [1, 18], train: 8, heldout: 2}}\n    prompt: \"{{{{ target }}}}\"\n\
             stages:\n  - id: sft\n    sft: {{data: sums.train, steps: 1, batch_size: 2, lr: 1e-3}}\n",
            shape.canonicalize().unwrap().display()
        );
        std::fs::write(&spec, text).unwrap();
    };
    write("");
    let output = r1x(&["check", spec.to_str().unwrap()]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("`model` needs the key `tokenizer`"), "{message}");
    assert!(message.contains("a run needs the tokens themselves"), "{message}");
    write("tokenizer: {data: sums}, ");
    assert!(ok(&["check", spec.to_str().unwrap()]).starts_with("ok "));
    let plan: Value =
        serde_json::from_str(&ok(&["plan", spec.to_str().unwrap(), "--json"])).unwrap();
    assert_eq!(plan["vocabulary_size"], 49_152, "rows behind the last token are never drawn");
}
