"""Writes the golden file of multi-token prediction beside this script: a tiny random DeepSeek-V3 with two modules, as
Hugging Face computes it (`transformers.modeling_layers.MtpModel`), with log-probs and gradients. Tests read the file;
nothing else needs Python.

Made with Python 3.11, torch 2.15.0 (on the CPU), transformers 5.24.0, safetensors 0.8.0, numpy 2.4.6:

    pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0 numpy==2.4.6
    python mtp.py

The file is one of those that `make.py` writes, with the weights of the modules under their published names, and for
module K, counted from 0,
    mtp_gradients.K   one weight per completion token of every sequence that the module has a row for
    mtp_logprobs.K    log-prob of each of those tokens at the temperature, as the module predicts it
and every gradient is that of sum(token_gradients * logprobs) plus sum(mtp_gradients.K * mtp_logprobs.K) of both.
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM
from transformers.modeling_layers import MtpModel

VOCABULARY = 24
PROMPT = 2
LENGTHS = (19, 7)
TEMPERATURE = 0.8
LAYERS = 2
DEPTH = 2
PLAN = {
    "tokenizer": {"vocabulary": {"pieces": [str(i) for i in range(VOCABULARY - 1)]}},
    "hidden_size": 12,
    "layers": LAYERS,
    "context_length": 32,
    "attention": {
        "mla": {
            "heads": 2,
            "q_lora_rank": 8,
            "kv_lora_rank": 7,
            "qk_nope_head_dim": 5,
            "qk_rope_head_dim": 4,
            "v_head_dim": 6,
            "latent_norm_eps": 1e-6,
            "bias": False,
        }
    },
    "feed_forward": {
        "moe": {
            "routed_experts": 4,
            "shared_intermediate_size": 7,
            "shared_gated": False,
            "scoring": "sigmoid",
            "selection_bias": True,
            "group_score": "top_two",
            "experts_per_token": 2,
            "expert_intermediate_size": 7,
            "groups": 2,
            "groups_per_token": 1,
            "normalize_affinities": True,
            "routed_scaling": 1.7,
            "bias_update_speed": 0.0,
            "balance_loss": 0.0,
            "dense_layers": [0],
            "dense_intermediate_size": 14,
        }
    },
    "tie_embeddings": False,
    "rope": {"theta": 100.0, "pairs": "neighbours", "scaling": "none"},
    "norm_eps": 1e-6,
    "init_std": 0.02,
    "mtp": {"depth": DEPTH, "weight": 0.3},
}


def models():
    mla, moe = PLAN["attention"]["mla"], PLAN["feed_forward"]["moe"]
    config = DeepseekV3Config(
        vocab_size=VOCABULARY,
        hidden_size=PLAN["hidden_size"],
        num_hidden_layers=LAYERS,
        max_position_embeddings=PLAN["context_length"],
        rope_parameters={"rope_type": "default", "rope_theta": PLAN["rope"]["theta"]},
        rms_norm_eps=PLAN["norm_eps"],
        tie_word_embeddings=False,
        num_attention_heads=mla["heads"],
        num_key_value_heads=mla["heads"],
        **{key: value for key, value in mla.items() if key.endswith(("_rank", "_dim"))},
        n_routed_experts=moe["routed_experts"],
        n_shared_experts=1,
        num_experts_per_tok=moe["experts_per_token"],
        moe_intermediate_size=moe["expert_intermediate_size"],
        n_group=moe["groups"],
        topk_group=moe["groups_per_token"],
        norm_topk_prob=True,
        routed_scaling_factor=moe["routed_scaling"],
        first_k_dense_replace=1,
        intermediate_size=moe["dense_intermediate_size"],
        num_nextn_predict_layers=DEPTH,
        attn_implementation="eager",
        experts_implementation="eager",
    )
    model = DeepseekV3ForCausalLM(config)
    return model, MtpModel(model, DEPTH)


def randomize(parameters, buffers, generator):
    """Weights large enough that every part of the model shows in the logits."""
    with torch.no_grad():
        for parameter in parameters:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.1 * noise if parameter.dim() == 1 else 0.3 * noise)
        for buffer in buffers:
            buffer.copy_(0.3 * torch.rand(buffer.shape, generator=generator))


def published(name):
    """The published name of a tensor of `MtpModel`."""
    _, layer, rest = name.split(".", 2)
    rest = rest.removeprefix("mtp_block.").replace("post_norm.", "shared_head.norm.")
    return f"model.layers.{LAYERS + int(layer)}.{rest}"


def by_expert(name, tensor):
    """A tensor of all experts as one for each of them and each of its projections."""
    if name.endswith("experts.gate_up_proj"):
        front = name.removesuffix("gate_up_proj")
        for expert, both in enumerate(tensor):
            gate, up = both.chunk(2)
            yield f"{front}{expert}.gate_proj.weight", gate
            yield f"{front}{expert}.up_proj.weight", up
    elif name.endswith("experts.down_proj"):
        front = name.removesuffix("down_proj")
        for expert, down in enumerate(tensor):
            yield f"{front}{expert}.down_proj.weight", down
    else:
        yield name, tensor


def said(model, hidden, tokens):
    """Log-probs of tokens at the temperature."""
    logits = model.lm_head(hidden)
    return torch.log_softmax(logits / TEMPERATURE, dim=-1).gather(1, tokens[:, None])[:, 0]


def is_bias(name):
    return name.endswith("e_score_correction_bias")


def main():
    generator = torch.Generator().manual_seed(3)
    model, modules = models()
    named = dict(model.named_parameters())
    named.update({published(k): v for k, v in modules.named_parameters() if k.startswith("layers.")})
    biases = {k: v for k, v in model.named_buffers() if is_bias(k)}
    biases.update({published(k): v for k, v in modules.named_buffers() if is_bias(k)})
    randomize(named.values(), biases.values(), generator)
    tensors, logprobs, further = {}, [], [[] for _ in range(DEPTH)]
    for index, length in enumerate(LENGTHS):
        tokens = torch.randint(VOCABULARY, (1, length), generator=generator)
        tensors[f"tokens.{index}"] = tokens[0].to(torch.uint32)
        hidden = model.model(tokens).last_hidden_state
        tensors[f"logits.{index}"] = model.lm_head(hidden)[0].detach()
        logprobs.append(said(model, hidden[0, PROMPT - 1 : -1], tokens[0, PROMPT:]))
        for depth in range(DEPTH):
            # Row i is what was handed over at i, beside the token one further on than that of the module before.
            entering = tokens[:, depth + 1 : -1]
            positions = torch.arange(depth + 1, length - 1)[None]
            hidden = modules.forward_layer(
                depth, hidden[:, : entering.shape[1]], positions, None, input_ids=entering
            )
            first = max(PROMPT, depth + 2)
            further[depth].append(said(model, hidden[0, first - depth - 2 :], tokens[0, first:]))
    tensors["logprobs"] = torch.cat(logprobs)
    tensors["token_gradients"] = torch.randn(tensors["logprobs"].shape, generator=generator)
    total = (tensors["token_gradients"] * tensors["logprobs"]).sum()
    for depth, parts in enumerate(further):
        said_by = torch.cat(parts)
        weights = torch.randn(said_by.shape, generator=generator)
        total = total + (weights * said_by).sum()
        tensors[f"mtp_logprobs.{depth}"], tensors[f"mtp_gradients.{depth}"] = said_by, weights
    total.backward()
    for name, parameter in named.items():
        tensors.update(by_expert(name, parameter))
        tensors.update((f"gradient.{key}", value) for key, value in by_expert(name, parameter.grad))
    tensors.update(biases)
    tensors = {key: value.detach().contiguous() for key, value in tensors.items()}
    header = {"golden": json.dumps({"plan": PLAN, "temperature": TEMPERATURE})}
    path = pathlib.Path(__file__).with_name("mtp.safetensors")
    save_file(tensors, path, metadata=header)
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    main()
