"""Writes the folder `values` beside this script: a tiny random LlamaForSequenceClassification with one label, as Hugging
Face saves and computes it. Tests read the folder; nothing else needs Python.

Made with Python 3.11, torch 2.15.0 (on the CPU), transformers 5.24.0, safetensors 0.8.0:

    pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0
    python values.py

The folder holds `config.json` and `model.safetensors` as a published model has them, and `golden.safetensors` with, for
each sequence N,
    tokens.N    its ids, u32
    value.N     what the model says of the sequence: of its last token, which transformers pools
    weight.N    what the value is multiplied with in a sum over the sequences
    grad.NAME   the gradient of that sum, for each tensor of the model
computed in f64 and rounded to f32.
"""

import pathlib
import shutil

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForSequenceClassification

LENGTHS = (7, 12, 17)
WEIGHTS = (1.0, -0.7, 0.4)
FOLDER = pathlib.Path(__file__).with_name("values")


def main():
    torch.manual_seed(11)
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-6, initializer_range=0.3,
        tie_word_embeddings=False, num_labels=1, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )
    model = LlamaForSequenceClassification(config).eval()
    with torch.no_grad():
        # Gains away from one, so that a forgotten factor shows.
        for name, one in model.named_parameters():
            if "norm" in name:
                one.add_(torch.randn(one.shape) * 0.2)
    shutil.rmtree(FOLDER, ignore_errors=True)
    model.save_pretrained(FOLDER)
    model.double()
    tensors, total = {}, 0.0
    for index, (length, weight) in enumerate(zip(LENGTHS, WEIGHTS)):
        # No token is the one that sequences are padded with.
        tokens = torch.randint(1, config.vocab_size, (1, length))
        value = model(input_ids=tokens).logits
        assert value.shape == (1, 1)
        total = total + weight * value.sum()
        tensors[f"tokens.{index}"] = tokens[0].to(torch.uint32)
        tensors[f"value.{index}"] = value.detach().flatten().float()
        tensors[f"weight.{index}"] = torch.tensor([weight])
    total.backward()
    for name, one in model.named_parameters():
        assert one.grad.abs().max() > 0, name
        tensors[f"grad.{name}"] = one.grad.float()
    save_file(tensors, FOLDER / "golden.safetensors")


if __name__ == "__main__":
    main()
