//! Configurations and files that ask for more than any machine has: an error, and nothing made in proportion.
//!
//! A list of 10^12 layers would not fit into memory, so a test that comes back at all has not made one.

use std::path::Path;

use serde_json::{Value, json};

use super::Published;
use super::gguf::tests::File;

const HUGE: u64 = 1_000_000_000_000;

/// A golden configuration with some keys changed, in a folder without weights.
fn refused(golden: &str, changes: Value) -> String {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/families");
    let text = std::fs::read(folders.join(golden).join("config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&text).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    match Published::open(folder.path()) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{golden} with {changes} is read"),
    }
}

#[test]
fn no_count_of_a_configuration_may_be_huge() {
    let families = [
        "llama",
        "qwen2",
        "qwen2-window",
        "qwen2-moe",
        "qwen3",
        "qwen3-moe",
        "mixtral",
        "mixtral-window",
        "olmoe",
        "glm4-moe",
        "deepseek-v2",
        "deepseek-v3",
    ];
    let keys = ["num_hidden_layers", "vocab_size", "hidden_size", "max_position_embeddings"];
    for family in families {
        for key in keys {
            let told = refused(family, json!({ key: HUGE }));
            assert!(told.contains(&format!("`{key}` is {HUGE}; ")), "{family}: {told}");
        }
    }
    for (family, key) in [
        ("qwen2-moe", "num_experts"),
        ("qwen3-moe", "num_experts"),
        ("mixtral", "num_local_experts"),
        ("olmoe", "num_experts"),
        ("glm4-moe", "n_routed_experts"),
        ("deepseek-v2", "n_routed_experts"),
        ("deepseek-v3", "n_routed_experts"),
        ("deepseek-v3", "first_k_dense_replace"),
        ("deepseek-v3", "n_shared_experts"),
        ("deepseek-v3", "kv_lora_rank"),
        ("qwen2-moe", "moe_intermediate_size"),
        ("llama", "num_attention_heads"),
    ] {
        // A width of this family may have either name.
        let told = refused(family, json!({ key: HUGE }));
        assert!(told.contains(&format!("`{key}` is {HUGE}; ")), "{family}: {told}");
    }
    let told = refused("llama", json!({"num_hidden_layers": 0}));
    assert!(told.contains("`num_hidden_layers` is 0, not a count above 0"), "{told}");
    assert_eq!(told.matches("num_hidden_layers").count(), 1, "{told}");
}

/// Each number is allowed, and all of them together are not.
#[test]
fn no_product_of_counts_may_be_huge() {
    let many = json!({"num_hidden_layers": 4096, "n_routed_experts": 4096});
    let told = refused("deepseek-v3", many);
    assert!(told.contains("tensors; 1048576 are read at most"), "{told}");
    let wide = json!({"hidden_size": 1 << 24, "intermediate_size": 1 << 24, "head_dim": 4});
    let told = refused("llama", wide);
    assert!(told.contains("parameters; 8796093022208 are read at most"), "{told}");
}

#[test]
fn lists_of_layers_have_an_end() {
    let long: Vec<usize> = vec![0; (1 << 16) + 1];
    let told = refused("qwen3-moe", json!({"mlp_only_layers": long}));
    assert!(told.contains("not a list of counts"), "{told}");
}

#[test]
fn shapes_that_do_not_fit_together_are_refused() {
    for (family, changes, expected) in [
        ("mixtral", json!({"num_experts_per_tok": 4096}), "a token cannot choose 4096 of"),
        ("deepseek-v3", json!({"n_group": 3}), "3 groups do not divide"),
        ("deepseek-v3", json!({"topk_group": 4096}), "a token cannot choose 4096 of"),
        ("deepseek-v3", json!({"qk_rope_head_dim": 5}), "`qk_rope_head_dim` must be even"),
        ("llama", json!({"head_dim": 7}), "what turns of a head must be even"),
        (
            "qwen2",
            json!({"num_attention_heads": 4096, "num_key_value_heads": 4096, "head_dim": null}),
            "there are more heads than `hidden_size` has numbers",
        ),
        (
            "glm4-moe",
            json!({"partial_rotary_factor": 1e300, "rope_parameters": null}),
            "`partial_rotary_factor` is 1e+300, not a number from 0 to 1",
        ),
    ] {
        let told = refused(family, changes);
        assert!(told.contains(expected), "{family}: {told}");
    }
}

#[test]
fn a_gguf_file_may_not_ask_for_more_either() {
    let file = |key: &str, value: usize| {
        let mut file = File::default();
        file.text("general.architecture", "llama");
        for (key, value) in [
            ("block_count", 2),
            ("context_length", 64),
            ("embedding_length", 8),
            ("feed_forward_length", 8),
            ("attention.head_count", 2),
        ] {
            file.count(&format!("llama.{key}"), value);
        }
        file.float("llama.attention.layer_norm_rms_epsilon", 1e-5);
        file.tensor("token_embd.weight", &[3, 8], vec![0.0; 24]);
        file.count(&format!("llama.{key}"), value);
        let (folder, path) = file.write();
        let told = Published::open(&path).err().map(|error| error.to_string());
        drop(folder);
        told
    };
    assert_eq!(file("block_count", 2), None);
    for key in ["block_count", "embedding_length", "expert_count", "context_length"] {
        let told = file(key, u32::MAX as usize).unwrap_or_else(|| panic!("{key} is read"));
        assert!(told.contains("is 4294967295; "), "{key}: {told}");
    }
}
