"""Writes `losses.json` beside this script: losses and their derivatives by every log-prob, as TRL's own
`GRPOTrainer._compute_loss` computes them in float64, for the choices that TRL and r1x share. The test reads the file;
nothing else needs Python.

Made with Python 3.11, torch 2.15.0 (on the CPU), transformers 5.24.0, trl 1.16.0:

    pip install torch==2.15.0 transformers==5.24.0 trl==1.16.0 datasets pandas
    python losses.py

The loss needs nothing of a trainer but settings, and log-probs that a model would have given: both stand in for it
here. Every case has the plan of the loss in r1x's words. `max_completion_length` is what the fixed length divides by.
"""

import collections
import json
import pathlib
import types

import torch
from trl.trainer.grpo_trainer import GRPOTrainer

LENGTHS = (9, 3, 1, 6, 7)
# What every token of a sequence has become likelier by, in nats, so that whole sequences leave the bounds.
SHIFTS = (0.4, -0.5, 0.05, 0.9, -0.1)
LONGEST = 12
BETA = 0.04


def inputs():
    torch.manual_seed(7)
    shape = (len(LENGTHS), max(LENGTHS))
    sampled = -torch.rand(shape) * 3 - 0.05
    current = (sampled + torch.randn(shape) * 0.4 + torch.tensor(SHIFTS)[:, None]).clamp(max=-0.01)
    reference = sampled + torch.randn(shape) * 0.3
    mask = torch.arange(shape[1])[None] < torch.tensor(LENGTHS)[:, None]
    advantages = torch.tensor([1.5, -0.75, 0.5, -2.0, 0.25])
    # Rounded to float32, which is what r1x is given.
    return [one.float().double() for one in (sampled, current, reference, mask, advantages)]


def loss(kind, level, low, high, delta, beta, unbiased, stale):
    sampled, current, reference, mask, advantages = inputs()
    current.requires_grad_()
    trainer = types.SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (current, torch.zeros_like(current), None),
        accelerator=types.SimpleNamespace(
            num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x, sync_gradients=True
        ),
        args=types.SimpleNamespace(
            use_bias_correction_kl=unbiased, delta=delta, sapo_temperature_pos=1.0, sapo_temperature_neg=1.05,
            steps_per_generation=1,
        ),
        aux_loss_enabled=False, beta=beta, current_gradient_accumulation_steps=1, epsilon_low=low, epsilon_high=high,
        importance_sampling_level=level, loss_type=kind, max_completion_length=LONGEST,
        model=types.SimpleNamespace(training=True), off_policy_mask_threshold=stale,
        get_off_policy_mask=GRPOTrainer.get_off_policy_mask, top_entropy_quantile=1.0,
        use_vllm=False, _entropy_bonus_enabled=False, _metrics={"train": collections.defaultdict(list)},
    )
    ids = torch.zeros(mask.shape, dtype=torch.long)
    value = GRPOTrainer._compute_loss(trainer, None, {
        "prompt_ids": ids[:, :0], "prompt_mask": mask[:, :0], "completion_ids": ids, "completion_mask": mask,
        "advantages": advantages, "old_per_token_logps": sampled, "ref_per_token_logps": reference,
        "num_items_in_batch": mask.sum(),
    })
    value.backward()
    return value.item(), current.grad


def rows(matrix):
    return [row[:length] for row, length in zip(matrix.tolist(), LENGTHS)]


AGGREGATIONS = {
    "grpo": "sequence_mean", "dapo": "token_mean", "dr_grpo": "fixed_length", "cispo": "token_mean",
    "sapo": "sequence_mean",
}


def case(kind, level, low=0.2, high=0.28, delta=None, beta=0.0, unbiased=False, stale=None):
    if kind == "cispo":
        clip = {"weight": {"low": None, "high": high - 1.0}}
    elif kind == "sapo":
        # TRL makes a float32 tensor of the two.
        clip = {"sigmoid": {"tau_positive": 1.0, "tau_negative": torch.tensor(1.05).item()}}
    else:
        clip = {"pessimistic": {"low": low, "high": high, "max_ratio": delta}}
    value, gradient = loss(kind, level, low, high, delta, beta, unbiased, stale)
    kl = {
        "coef": beta, "counted_in": "loss", "estimator": "k3_unbiased" if unbiased else "k3", "refresh_every": None,
        "refresh_mix": 1.0,
    }
    plan = {"ratio": level, "clip": clip, "max_divergence": stale, "kl": kl,
            "entropy_coef": 0.0, "aggregation": AGGREGATIONS[kind]}
    return {"plan": plan, "loss": value, "gradient": rows(gradient)}


def main():
    cases = [
        case(kind, level, delta=delta, beta=beta)
        for kind in ("grpo", "dapo", "dr_grpo")
        for level in ("token", "sequence")
        for delta in (None, 1.5)
        for beta in (0.0, BETA)
    ]
    cases += [case("grpo", "sequence", low=3e-4, high=4e-4)]
    cases += [case("cispo", level, high=bound) for level in ("token", "sequence") for bound in (5.0, 1.2)]
    cases += [case("sapo", level, beta=beta) for level in ("token", "sequence") for beta in (0.0, BETA)]
    cases += [
        case(kind, level, delta=delta, beta=BETA, unbiased=True)
        for kind, delta in (("grpo", None), ("dapo", 1.5), ("dr_grpo", None), ("sapo", None))
        for level in ("token", "sequence")
    ]
    # Two sequences have a negative advantage, and one of them has fallen by half a nat a token.
    cases += [
        case(kind, level, beta=beta, stale=0.1)
        for kind, beta in (("grpo", 0.0), ("dapo", BETA), ("dr_grpo", 0.0))
        for level in ("token", "sequence")
    ]
    cases += [case("cispo", level, high=5.0, beta=BETA, unbiased=True) for level in ("token", "sequence")]
    sampled, current, reference, _, advantages = inputs()
    golden = {
        "sampled": rows(sampled), "logprobs": rows(current), "reference": rows(reference),
        "advantages": advantages.tolist(), "fixed_length": len(LENGTHS) * LONGEST, "cases": cases,
    }
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
