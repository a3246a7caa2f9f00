//! Mistakes of a spec whose model or whose adapters are those of a folder, or could be.

use super::{Case, edit};

/// The model of the base spec.
pub const MODEL: &str = "  tokenizer: {data: countdown}\n  hidden_size: 128\n  layers: 2\n  context_length: 64\n  attention:\n    mla: {heads: 4, kv_lora_rank: 32, qk_nope_head_dim: 32, qk_rope_head_dim: 16, v_head_dim: 32}\n  feed_forward:\n    moe: {routed_experts: 8, experts_per_token: 2, expert_intermediate_size: 96}\n";

pub const CASES: &[Case] = &[
    edit(
        "shape beside a published model",
        &[("  layers: 2\n", "  layers: 2\n  from: models/tiny\n")],
    ),
    edit(
        "checkpoints that there are not",
        &[
            ("  layers: 2\n", "  layers: 2\n  checkpoint: nowhere\n"),
            ("stages:\n", "models:\n  other: {checkpoint: \"earlier-run:rl\"}\nstages:\n"),
        ],
    ),
    edit(
        "a checkpoint that a further model inherits and cannot read",
        &[
            ("  layers: 2\n", "  layers: 2\n  checkpoint: earlier\n"),
            ("stages:\n", "models:\n  small: {layers: 1}\nstages:\n"),
        ],
    ),
    edit(
        "a checkpoint of adapters beside random weights",
        &[("  layers: 2\n", "  layers: 2\n  checkpoint: earlier\n  lora: {rank: 4}\n")],
    ),
    edit(
        "adapters that begin with two things",
        &[(
            MODEL,
            "  from: models/tiny\n  checkpoint: earlier\n  lora: {from: ../models/smollm2-lora}\n",
        )],
    ),
    edit(
        "a judge with two checkpoints",
        &[(
            "stages:\n",
            "judges:\n  critic: {checkpoint: earlier, model: {from: models/tiny, checkpoint: earlier}}\nstages:\n",
        )],
    ),
    edit("published model that is not there", &[(MODEL, "  from: models/none\n")]),
    edit(
        "published model with a longer context",
        &[(MODEL, "  from: models/tiny\n  context_length: 1024\n")],
    ),
    edit("published model without a tokenizer", &[(MODEL, "  from: models/wordless\n")]),
    edit(
        "published model that predicts fewer tokens",
        &[(MODEL, "  from: models/tiny\n  mtp: {depth: 2}\n")],
    ),
    edit("published model that does not end", &[(MODEL, "  from: models/endless\n")]),
    edit(
        "published model with another shape",
        &[(
            MODEL,
            "  from: models/tiny\n  layers: 3\n  tie_embeddings: false\n  attention:\n    gqa: {heads: 2, kv_heads: 1, head_dim: 8, qkv_bias: true}\n  feed_forward:\n    moe: {routed_experts: 8, experts_per_token: 2, expert_intermediate_size: 96}\n",
        )],
    ),
    edit(
        "pairs and rows that the weights do not have",
        &[(MODEL, "  from: models/tiny\n  rope_pairs: neighbours\n  vocabulary_size: 999\n")],
    ),
    edit(
        "adapters of projections that the model lacks",
        &[(
            "  layers: 2\n",
            "  layers: 2\n  lora: {rank: 8, targets: [q_proj, q_a_proj, k_proj, q_proj]}\n",
        )],
    ),
    edit(
        "adapters without a rank or a projection",
        &[("  layers: 2\n", "  layers: 2\n  mtp: {depth: 1}\n  lora: {alpha: 8, targets: []}\n")],
    ),
    edit(
        "adapters that a folder says, and another one that is not there",
        &[("  layers: 2\n", "  layers: 2\n  lora: {from: models/none, rank: 8, scaling: rank}\n")],
    ),
];
