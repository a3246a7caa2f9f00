"""Writes the golden files beside this script: tiny random Llama and DeepSeek-V3 models as Hugging Face
computes them, with logits and gradients. Tests read the files; nothing else needs Python.

Made with Python 3.11, torch 2.8.0 (CPU), transformers 4.57.1, safetensors 0.8.0, numpy 2.3.5:

    pip install torch==2.8.0 transformers==4.57.1 safetensors==0.8.0 numpy==2.3.5
    python make.py

Every file holds the weights under their checkpoint names, and
    tokens.N          ids of sequence N, u32; its first two tokens are the prompt
    logits.N          [tokens, vocabulary] for the whole sequence
    token_gradients   one weight per completion token, sequence after sequence
    logprobs          log-prob of each of those tokens at the temperature
    gradient.NAME     gradient of sum(token_gradients * logprobs)
with the plan of the model and the temperature as JSON under `golden` in the header.
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM, LlamaConfig, LlamaForCausalLM

VOCABULARY = 24
PROMPT = 2
LENGTHS = (19, 7)
TEMPERATURE = 0.8


def plan(attention, feed_forward, tied, theta, eps, pairs):
    return {
        "tokenizer": {"vocabulary": {"pieces": [str(i) for i in range(VOCABULARY - 1)]}},
        "hidden_size": 16,
        "layers": 2,
        "context_length": 32,
        "attention": attention,
        "feed_forward": feed_forward,
        "tie_embeddings": tied,
        "rope": {"theta": theta, "pairs": pairs, "scaling": "none"},
        "norm_eps": eps,
        "init_std": 0.02,
    }


def common(spec):
    return dict(
        vocab_size=VOCABULARY,
        hidden_size=spec["hidden_size"],
        num_hidden_layers=spec["layers"],
        max_position_embeddings=spec["context_length"],
        rms_norm_eps=spec["norm_eps"],
        rope_theta=spec["rope"]["theta"],
        tie_word_embeddings=spec["tie_embeddings"],
        attn_implementation="eager",
        use_cache=False,
    )


def llama():
    gqa = {
        "heads": 4,
        "kv_heads": 2,
        "head_dim": 6,
        "rotary_dim": 6,
        "qkv_bias": False,
        "output_bias": False,
        "qk_norm": "none",
        "clip_qkv": None,
        "window": None,
    }
    dense = {"intermediate_size": 20, "bias": False}
    spec = plan({"gqa": gqa}, {"dense": dense}, True, 500.0, 1e-5, "halves")
    config = LlamaConfig(
        **common(spec),
        num_attention_heads=gqa["heads"],
        num_key_value_heads=gqa["kv_heads"],
        head_dim=gqa["head_dim"],
        intermediate_size=20,
    )
    return spec, LlamaForCausalLM(config)


def deepseek():
    mla = {
        "heads": 3,
        "q_lora_rank": 10,
        "kv_lora_rank": 9,
        "qk_nope_head_dim": 6,
        "qk_rope_head_dim": 4,
        "v_head_dim": 5,
        "latent_norm_eps": 1e-6,
        "bias": False,
    }
    moe = {
        "routed_experts": 8,
        "shared_intermediate_size": 14,
        "shared_gated": False,
        "scoring": "sigmoid",
        "selection_bias": True,
        "group_score": "top_two",
        "experts_per_token": 3,
        "expert_intermediate_size": 7,
        "groups": 4,
        "groups_per_token": 2,
        "normalize_affinities": True,
        "routed_scaling": 1.7,
        "bias_update_speed": 0.0,
        "balance_loss": 0.0,
        "dense_layers": [0],
        "dense_intermediate_size": 18,
    }
    # The norms inside latent attention have a fixed epsilon of 1e-6 there, so all have it here.
    spec = plan({"mla": mla}, {"moe": moe}, False, 100.0, 1e-6, "neighbours")
    config = DeepseekV3Config(
        **common(spec),
        num_attention_heads=mla["heads"],
        num_key_value_heads=mla["heads"],
        **{key: value for key, value in mla.items() if key.endswith(("_rank", "_dim"))},
        n_routed_experts=moe["routed_experts"],
        n_shared_experts=moe["shared_intermediate_size"] // moe["expert_intermediate_size"],
        num_experts_per_tok=moe["experts_per_token"],
        moe_intermediate_size=moe["expert_intermediate_size"],
        n_group=moe["groups"],
        topk_group=moe["groups_per_token"],
        norm_topk_prob=moe["normalize_affinities"],
        routed_scaling_factor=moe["routed_scaling"],
        first_k_dense_replace=len(moe["dense_layers"]),
        intermediate_size=moe["dense_intermediate_size"],
    )
    return spec, DeepseekV3ForCausalLM(config)


def randomize(model, generator):
    """Weights large enough that every part of the model shows in the logits."""
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.1 * noise if parameter.dim() == 1 else 0.3 * noise)
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                # Positive, because this implementation marks closed groups by a score of 0.
                buffer.copy_(0.3 * torch.rand(buffer.shape, generator=generator))


def write(name, spec, model, seed):
    generator = torch.Generator().manual_seed(seed)
    randomize(model, generator)
    model.train()
    tensors, said = {}, []
    for index, length in enumerate(LENGTHS):
        tokens = torch.randint(VOCABULARY, (1, length), generator=generator)
        logits = model(input_ids=tokens).logits[0]
        logprobs = torch.log_softmax(logits / TEMPERATURE, dim=-1)
        said.append(logprobs[PROMPT - 1 : -1].gather(1, tokens[0, PROMPT:, None])[:, 0])
        tensors[f"tokens.{index}"] = tokens[0].to(torch.uint32)
        tensors[f"logits.{index}"] = logits.detach()
    said = torch.cat(said)
    weights = torch.randn(said.shape, generator=generator)
    (weights * said).sum().backward()
    tensors["token_gradients"] = weights
    tensors["logprobs"] = said.detach()
    for parameter_name, parameter in model.named_parameters():
        gradient = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        tensors[f"gradient.{parameter_name}"] = gradient
        tensors[parameter_name] = parameter.detach()
    for buffer_name, buffer in model.named_buffers():
        if buffer_name.endswith("e_score_correction_bias"):
            tensors[buffer_name] = buffer
    tensors = {key: value.contiguous() for key, value in tensors.items()}
    # One key: the order of several is not fixed, and the same run should write the same bytes.
    metadata = {"golden": json.dumps({"plan": spec, "temperature": TEMPERATURE})}
    save_file(tensors, pathlib.Path(__file__).with_name(f"{name}.safetensors"), metadata)


if __name__ == "__main__":
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    write("llama", *llama(), seed=1)
    write("deepseek-v3", *deepseek(), seed=2)
