"""Writes `pairs.json` beside this script: losses over pairs and their derivatives, as TRL's own
`RewardTrainer.compute_loss` and `DPOTrainer._compute_loss` compute them in float64, for the choices that TRL and r1x
share. The test reads the file; nothing else needs Python.

Made with Python 3.11, torch 2.15.0 (on the CPU), transformers 5.24.0, trl 1.16.0:

    pip install torch==2.15.0 transformers==5.24.0 trl==1.16.0 datasets pandas
    python pairs.py

A loss needs nothing of a trainer but settings, and numbers that a model would have given: both stand in for it here.
"""

import collections
import json
import pathlib
import types

import torch
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.reward_trainer import RewardTrainer

# Tokens of the better completions, then of the worse ones.
LENGTHS = (9, 3, 1, 6, 4, 7, 2, 5)
PAIRS = len(LENGTHS) // 2
ACCELERATOR = types.SimpleNamespace(
    device=torch.device("cpu"), num_processes=1, gather=lambda x: x, gather_for_metrics=lambda x: x,
    unwrap_model=lambda model: model,
)


def metrics():
    return {"train": collections.defaultdict(list)}


def reward(margin):
    torch.manual_seed(3)
    values = (torch.randn(2 * PAIRS) * 1.5).float().double().requires_grad_()
    trainer = types.SimpleNamespace(
        model=types.SimpleNamespace(training=True), args=types.SimpleNamespace(center_rewards_coefficient=None),
        accelerator=ACCELERATOR, _metrics=metrics(), _total_train_tokens=0, _tp_size=1,
    )
    inputs = {"attention_mask": torch.ones(2 * PAIRS, 1)}
    if margin:
        inputs["margin"] = torch.full((PAIRS,), margin, dtype=torch.float64)
    trainer.model = Model(lambda: types.SimpleNamespace(logits=values[:, None]))
    loss = RewardTrainer.compute_loss(trainer, trainer.model, inputs)
    loss.backward()
    return {"margin": margin, "numbers": rows(values), "loss": loss.item(), "gradient": rows(values.grad)}


class Model(torch.nn.Module):
    """A model that says what it is told to."""

    is_gradient_checkpointing = False

    def __init__(self, say):
        super().__init__()
        self.say = say

    def forward(self, **_):
        return self.say()


def rows(values):
    """The numbers of both members, pair by pair."""
    return list(zip(values[:PAIRS].tolist(), values[PAIRS:].tolist()))


def logprobs():
    torch.manual_seed(5)
    shape = (len(LENGTHS), max(LENGTHS))
    mask = torch.arange(shape[1])[None] < torch.tensor(LENGTHS)[:, None]
    reference = -torch.rand(shape) * 3 - 0.05
    # Some pairs are ahead of what they are asked for, others behind.
    shift = torch.tensor([0.9, -0.4, 0.3, -0.6, -0.8, 0.5, 0.2, -0.1])[:, None]
    policy = reference + torch.randn(shape) * 0.3 + shift
    # Rounded to float32, which is what r1x is given.
    return [one.float().double() * mask for one in (policy, reference)] + [mask]


def preference(kind, beta, smoothing, policy, reference, mask):
    policy.requires_grad_()
    shape = mask.shape

    def says(logprobs):
        zeros = torch.zeros_like(logprobs)
        return lambda: types.SimpleNamespace(
            log_probs=logprobs, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool(),
        )

    # One token of prompt, which no log-prob belongs to.
    completions = torch.cat([torch.zeros(shape[0], 1, dtype=torch.bool), mask], dim=1)
    trainer = types.SimpleNamespace(
        model=Model(says(policy)), ref_model=Model(says(reference)), accelerator=ACCELERATOR, ld_alpha=None,
        aux_loss_enabled=False, precompute_ref_logps=False, f_divergence_type="reverse_kl", loss_types=[kind],
        loss_weights=[1.0], beta=beta, label_smoothing=smoothing, use_weighting=False, _metrics=metrics(),
        _total_train_tokens=0, _tp_size=1,
        args=types.SimpleNamespace(gradient_checkpointing=False, gradient_checkpointing_kwargs=None),
    )
    inputs = {
        "input_ids": completions.long(), "attention_mask": torch.ones_like(completions).long(),
        "completion_mask": completions.long(),
    }
    loss = DPOTrainer._compute_loss(trainer, trainer.model, inputs, False)
    loss.backward()
    return loss.item(), policy.grad


def cut(matrix):
    return [row[:length] for row, length in zip(matrix.tolist(), LENGTHS)]


def case(kind, beta, smoothing=0.0):
    numbers = logprobs()
    if kind == "aot":
        # Of one pair alone, which nothing is sorted in, this is the loss with smoothed labels, which has no other name.
        alone = [[one[[pair, pair + PAIRS]].clone() for one in numbers] for pair in range(PAIRS)]
        found = [preference(kind, beta, smoothing, *one) for one in alone]
        loss = sum(one for one, _ in found) / PAIRS
        members = [gradient[member] / PAIRS for member in range(2) for _, gradient in found]
        gradient = torch.stack(members)
    else:
        loss, gradient = preference(kind, beta, smoothing, *[one.clone() for one in numbers])
    plan = {"sigmoid": {"label_smoothing": smoothing}} if kind in ("sigmoid", "aot") else kind
    return {"plan": {"kind": plan, "beta": beta}, "loss": loss, "gradient": cut(gradient)}


def main():
    policy, reference, _ = logprobs()
    golden = {
        "policy": cut(policy), "reference": cut(reference),
        "rewards": [reward(margin) for margin in (0.0, 0.75)],
        "preferences": [
            case(kind, beta, smoothing)
            for kind, smoothing in (("sigmoid", 0.0), ("aot", 0.1), ("ipo", 0.0), ("hinge", 0.0))
            for beta in (0.1, 0.5)
        ],
    }
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
