"""The models that `families.py` writes: tiny configurations of published families, of odd sizes on purpose, so that
a width taken for another one shows."""

import dataclasses


@dataclasses.dataclass
class Case:
    """A model: the name of its configuration's class in transformers, its keys, and what is special about it."""

    family: str
    keys: dict
    notes: str
    # Other values of keys; with each of them the logits must be others, or the case would prove nothing.
    matters: tuple = ()
    # Keys that published configurations of this family carry and transformers does not read.
    inert: dict = dataclasses.field(default_factory=dict)
    # Whether `config.json` has the words of both generations side by side.
    both: bool = False
    # Whether experts are written as transformers holds them, in one tensor for all.
    stacked: bool = False
    # What older configurations call a key.
    older_names: dict = dataclasses.field(default_factory=dict)
    # Keys that `config.older.json` is to lack, because published configurations do.
    absent: tuple = ()
    # Whether an expert must have been chosen by a score below 0 while a group was closed.
    below_closed: bool = False
    # Ids from here on are padding of the vocabulary: no sequence has one, and their logits are about 0.
    real_vocabulary: int | None = None


def dense(vocabulary, hidden, heads, kv_heads, intermediate, layers=2, **more):
    """What the configurations of all families have in common."""
    return dict(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=intermediate,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
        **more,
    )


def rope(theta, kind="default", **more):
    return {"rope_type": kind, "rope_theta": theta, **more}


PLAIN = {"rope_parameters": rope(100.0)}
# What transformers computes and writes for latent attention; head_dim is the part that turns.
DERIVED = ("head_dim", "qk_head_dim")


def llama_cases():
    shape = dense(41, 32, 4, 2, 40, head_dim=6, rms_norm_eps=1e-5)
    scaled = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)
    yarn = dict(factor=4.0, original_max_position_embeddings=16)
    return {
        "llama": Case(
            "LlamaConfig",
            {**shape, "rope_parameters": rope(500.0)},
            "Heads of 6, so the heads together (24) are narrower than the stream (32).",
            ({"rms_norm_eps": 1e-2}, {"rope_parameters": rope(100.0)}),
        ),
        "llama-biased": Case(
            "LlamaConfig",
            {
                **shape,
                "attention_bias": True,
                "mlp_bias": True,
                "tie_word_embeddings": True,
                "rope_parameters": rope(500.0),
            },
            "Biases everywhere: q, k, v, o, gate, up, down. Tied: the file has no lm_head.",
        ),
        "llama3-rope": Case(
            "LlamaConfig",
            {**shape, "head_dim": 8, "rope_parameters": rope(50.0, "llama3", **scaled)},
            "Of four wavelengths (6.3 to 118) at bounds of 4 and 16 two are smoothed and two divided by 8.",
            (PLAIN, {"rope_parameters": rope(50.0)}, {"rope_parameters": rope(50.0, "linear", factor=8.0)}),
        ),
        "llama-linear": Case(
            "LlamaConfig",
            {**shape, "head_dim": 8, "rope_parameters": rope(50.0, "linear", factor=2.5)},
            "All frequencies are divided by 2.5.",
            ({"rope_parameters": rope(50.0)},),
        ),
        "llama-yarn": Case(
            "LlamaConfig",
            {
                **shape,
                "head_dim": 12,
                "rope_parameters": rope(50.0, "yarn", **yarn, beta_fast=2.0, beta_slow=0.25),
            },
            "Cosine and sine are multiplied by 0.1 ln 4 + 1; the scale of scores is left alone.",
            (
                {"rope_parameters": rope(50.0)},
                {"rope_parameters": rope(50.0, "yarn", **yarn)},
                {
                    "rope_parameters": rope(
                        50.0, "yarn", **yarn, beta_fast=2.0, beta_slow=0.25, truncate=False
                    )
                },
                {
                    "rope_parameters": rope(
                        50.0, "yarn", **yarn, beta_fast=2.0, beta_slow=0.25, attention_factor=1.0
                    )
                },
            ),
        ),
        "smollm2": Case(
            "LlamaConfig",
            {
                **dense(49, 36, 9, 3, 56, rms_norm_eps=1e-5, rope_parameters=rope(1000.0)),
                "tie_word_embeddings": True,
            },
            "A Llama: nine heads share three of keys and values. Tied. Nothing says how wide a head is in "
            "config.older.json.",
            absent=("head_dim",),
            inert={
                "is_llama_config": True,
                "rope_interleaved": False,
                "pretraining_tp": 1,
                "mlp_bias": False,
            },
        ),
    }


def qwen_cases():
    shape = dense(61, 28, 2, 1, 38)
    window = dict(use_sliding_window=True, sliding_window=5, max_window_layers=1)
    yarn = dict(factor=4.0, original_max_position_embeddings=16)
    return {
        "qwen2": Case(
            "Qwen2Config",
            {**shape, "tie_word_embeddings": True, "sliding_window": 4, "max_window_layers": 1, **PLAIN},
            "q, k and v have biases though no key says so, o has none. Tied. A window of 4 is named and not used, "
            "because use_sliding_window is false: transformers writes null then, older files the number. Ids from "
            "57 on are padding.",
            real_vocabulary=57,
            inert={"sliding_window": 4},
        ),
        "qwen2-window": Case(
            "Qwen2Config",
            {**shape, "num_hidden_layers": 3, **window, **PLAIN},
            "Layer 0 sees everything, layers 1 and 2 (from max_window_layers on) see the five newest positions, "
            "their own among them.",
            (
                {"use_sliding_window": False},
                {"sliding_window": 4},
                {"layer_types": ["sliding_attention"] * 3},
            ),
        ),
        "qwen2-yarn": Case(
            "Qwen2Config",
            {
                **shape,
                "num_attention_heads": 2,
                "rope_parameters": rope(50.0, "yarn", **yarn, beta_fast=2.0, beta_slow=0.25),
            },
            "config.json has rope_theta and rope_scaling beside rope_parameters, and they agree.",
            ({"rope_parameters": rope(50.0)}, {"rope_parameters": rope(50.0, "yarn", **yarn)}),
            both=True,
        ),
        "qwen3": Case(
            "Qwen3Config",
            {**shape, "head_dim": 10, "num_attention_heads": 4, "num_key_value_heads": 2, **PLAIN},
            "Heads together (40) are wider than the stream (28). q and k have a norm for each head, before rope.",
            ({"rms_norm_eps": 1e-2},),
        ),
    }


def softmax_moe_cases():
    qwen = dense(47, 24, 2, 1, 34)
    experts = dict(num_experts=6, num_experts_per_tok=2, moe_intermediate_size=9)
    olmoe = dense(43, 24, 4, 2, 10, num_experts=6, num_experts_per_tok=3, rms_norm_eps=1e-5, pad_token_id=1)
    mixtral = dense(45, 24, 4, 2, 14, num_local_experts=5, num_experts_per_tok=2, rms_norm_eps=1e-5)
    shared = dict(shared_expert_intermediate_size=13, decoder_sparse_step=2)
    return {
        "qwen2-moe": Case(
            "Qwen2MoeConfig",
            {**qwen, **experts, **shared, "num_hidden_layers": 4, "mlp_only_layers": [3], **PLAIN},
            "Only layer 1 has experts: 0 and 2 are dense by decoder_sparse_step, 3 by mlp_only_layers. Weights of "
            "experts are not normalised. The shared expert has a gate. q, k, v have biases.",
            ({"norm_topk_prob": True}, {"num_experts_per_tok": 1}),
        ),
        "qwen3-moe": Case(
            "Qwen3MoeConfig",
            {**qwen, **experts, "head_dim": 8, "norm_topk_prob": True, **PLAIN},
            "Weights of the chosen experts are normalised. config.json counts experts as num_local_experts, "
            "config.older.json as num_experts.",
            ({"norm_topk_prob": False},),
            older_names={"num_local_experts": "num_experts"},
        ),
        "qwen3-moe-stacked": Case(
            "Qwen3MoeConfig",
            {**qwen, **experts, "head_dim": 8, "norm_topk_prob": True, "attention_bias": True, **PLAIN},
            "All experts in one tensor: gate_up_proj [experts, 2 * width, stream], rows of the gate first, and "
            "down_proj [experts, stream, width]; their names have no .weight. q, k, v and o have biases.",
            older_names={"num_local_experts": "num_experts"},
            stacked=True,
        ),
        "mixtral": Case(
            "MixtralConfig",
            {**mixtral, "head_dim": 8, **PLAIN},
            "Weights of the chosen experts are always normalised. In files the block is block_sparse_moe; w1 is "
            "the gate, w3 is up and w2 is down.",
        ),
        "mixtral-window": Case(
            "MixtralConfig",
            {**mixtral, "sliding_window": 5, **PLAIN},
            "Every layer sees the five newest positions: no key turns the window on, it is on where it is named.",
            ({"sliding_window": None}, {"sliding_window": 6}),
        ),
        "olmoe": Case(
            "OlmoeConfig",
            {**olmoe, **PLAIN},
            "q and k have a norm over their whole width, before they are split into heads. Weights of experts are "
            "not normalised.",
            ({"norm_topk_prob": True},),
        ),
        "olmoe-clip": Case(
            "OlmoeConfig",
            {**olmoe, "clip_qkv": 1.1, "norm_topk_prob": True, "num_key_value_heads": 4, **PLAIN},
            "q and k are clamped to 1.1 after their norms and before rope, and v is clamped too. Weights of experts "
            "are normalised.",
            ({"clip_qkv": None}, {"clip_qkv": 1.2}),
        ),
    }


def mla(q_rank):
    """Latent attention of odd widths."""
    return dict(q_lora_rank=q_rank, kv_lora_rank=10, qk_nope_head_dim=6, qk_rope_head_dim=8, v_head_dim=5)


# What the cases of DeepSeek share: one dense layer, then one with experts.
LATENT = dense(53, 24, 3, 3, 30, first_k_dense_replace=1)
ROUTED = dict(n_routed_experts=8, n_shared_experts=2, num_experts_per_tok=3, moe_intermediate_size=7)
YARN = dict(factor=4.0, original_max_position_embeddings=16, beta_fast=2.0, beta_slow=0.25)
INERT = {"moe_layer_freq": 1, "ep_size": 1, "seq_aux": True, "aux_loss_alpha": 0.001, "pretraining_tp": 1}


def deepseek_v2_cases():
    lite = dict(topk_method="greedy", routed_scaling_factor=1.3)
    inert = {**INERT, "scoring_func": "softmax", "norm_topk_prob": False}
    return {
        "deepseek-v2": Case(
            "DeepseekV2Config",
            {
                **LATENT,
                **ROUTED,
                **mla(None),
                **lite,
                "rope_parameters": rope(50.0, "yarn", **YARN, mscale=0.707, mscale_all_dim=0.707),
            },
            "As V2-Lite: one matrix for queries, softmax over experts, weights scaled and never normalised. Rope "
            "turns neighbours. The norm of latents has an eps of 1e-6, whatever the configuration says.",
            ({"routed_scaling_factor": 1.0}, {"rope_parameters": rope(50.0, "yarn", **YARN)}),
            inert=inert,
            absent=DERIVED,
        ),
        "deepseek-v2-groups": Case(
            "DeepseekV2Config",
            {
                **LATENT,
                **ROUTED,
                **mla(12),
                "topk_method": "group_limited_greedy",
                "n_group": 4,
                "topk_group": 2,
                "routed_scaling_factor": 2.0,
                "rms_norm_eps": 1e-3,
                **PLAIN,
            },
            "Of four groups the two with the best single expert stay open. Norms have an eps of 1e-3, but those "
            "inside attention have 1e-6.",
            ({"topk_method": "greedy"}, {"rms_norm_eps": 1e-6}),
            inert=inert,
            absent=DERIVED,
        ),
    }


def deepseek_v3_cases():
    groups = dict(n_group=2, topk_group=1, norm_topk_prob=True, routed_scaling_factor=1.7)
    both = rope(50.0, "yarn", **YARN, mscale=1.0, mscale_all_dim=0.707)
    inert = {**INERT, "scoring_func": "sigmoid", "topk_method": "noaux_tc", "num_nextn_predict_layers": 0}
    return {
        "deepseek-v3": Case(
            "DeepseekV3Config",
            {**LATENT, **ROUTED, **mla(12), **groups, "rms_norm_eps": 1e-3, "rope_parameters": both},
            "Corrections of experts are negative and positive; chosen ones fall below 0 while a group is closed, so "
            "closing it by a 0 would choose others. mscale and mscale_all_dim differ, so cosine and sine are scaled "
            "and scores are as well. Ids from 50 on are padding. Norms inside attention have an eps of 1e-6.",
            (
                {"topk_group": 2},
                {"norm_topk_prob": False},
                {"rope_interleave": False},
                {"rms_norm_eps": 1e-6},
                {"rope_parameters": rope(50.0, "yarn", **YARN)},
                {"rope_parameters": {**both, "mscale": 0.707}},
            ),
            inert=inert,
            absent=DERIVED,
            real_vocabulary=50,
            below_closed=True,
        ),
        "deepseek-v3-one-group": Case(
            "DeepseekV3Config",
            {
                **LATENT,
                **ROUTED,
                **mla(None),
                "n_group": 1,
                "topk_group": 1,
                "n_shared_experts": 1,
                "attention_bias": True,
                "norm_topk_prob": False,
                "routed_scaling_factor": 2.5,
                **PLAIN,
            },
            "One group, one matrix for queries, weights not normalised. kv_a_proj_with_mqa and o_proj have biases; "
            "q_proj has none.",
            inert=inert,
            absent=DERIVED,
        ),
        "deepseek-v3-half-rope": Case(
            "DeepseekV3Config",
            {
                **LATENT,
                **ROUTED,
                **mla(12),
                **groups,
                "attention_bias": True,
                "rope_interleave": False,
                "first_k_dense_replace": 0,
                **PLAIN,
            },
            "rope_interleave is false: rope turns halves. q_a_proj, kv_a_proj_with_mqa and o_proj have biases, q_b "
            "and kv_b none. No layer is dense.",
            ({"rope_interleave": True},),
            inert=inert,
            absent=DERIVED,
        ),
    }


def glm_cases():
    shape = dense(51, 26, 3, 1, 30, head_dim=12, first_k_dense_replace=1, rms_norm_eps=1e-5)
    experts = dict(n_routed_experts=6, n_shared_experts=1, num_experts_per_tok=2, moe_intermediate_size=8)
    half = {"rope_parameters": rope(100.0, partial_rotary_factor=0.5)}
    return {
        "glm4-moe": Case(
            "Glm4MoeConfig",
            {
                **shape,
                **experts,
                **half,
                "use_qk_norm": True,
                "attention_bias": True,
                "routed_scaling_factor": 1.5,
            },
            "The first 6 of 12 positions of a head turn, as two halves of 3. q, k, v have biases, o has none. q and "
            "k have a norm for each head, before rope. Experts as in DeepSeek-V3, in one group.",
            (
                {"rope_parameters": rope(100.0, partial_rotary_factor=1.0)},
                {"norm_topk_prob": False},
                {"routed_scaling_factor": 1.0},
            ),
            inert={"num_nextn_predict_layers": 0},
        ),
        "glm4-moe-plain": Case(
            "Glm4MoeConfig",
            {
                **shape,
                **experts,
                "rope_parameters": rope(100.0),
                "n_group": 3,
                "topk_group": 2,
                "norm_topk_prob": False,
            },
            "No norms of q and k, no biases, three groups of two experts, weights not normalised. Nothing names the "
            "part of a head that turns in config.older.json: it is half.",
            ({"topk_group": 3}, {"rope_parameters": rope(100.0, partial_rotary_factor=1.0)}),
            absent=("partial_rotary_factor",),
        ),
    }


def cases():
    return {
        **llama_cases(),
        **qwen_cases(),
        **softmax_moe_cases(),
        **deepseek_v2_cases(),
        **deepseek_v3_cases(),
        **glm_cases(),
    }
