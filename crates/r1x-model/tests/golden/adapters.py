"""Writes the folder `adapters` beside this script: for some models of `families` the adapters that PEFT makes for them,
with random numbers, as PEFT saves them, and what it computes with them. Tests read the folders; nothing else needs Python.

Made with Python 3.11, torch 2.15.0 (on the CPU), transformers 5.24.0, peft 0.21.2, safetensors 0.8.0, numpy 2.4.6:

    pip install torch==2.15.0 transformers==5.24.0 peft==0.21.2 safetensors==0.8.0 numpy==2.4.6
    python adapters.py

A folder has the name of its model and holds `adapter_config.json`, `adapter_model.safetensors`, and `golden.safetensors`
with, for each sequence N of the model's own golden file,
    tokens.N       its ids, u32
    logprobs.N     log-prob of each token but the first, at a temperature of 1, computed in f32
    merged.N       those of the model that the adapters were merged into
    grad.NAME      gradient of the mean over all log-probs of all sequences, negated, for each tensor of the adapters, by
                   its name in `adapter_model.safetensors`
"""

import importlib.metadata
import pathlib
import shutil
import tempfile

import torch
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

VERSIONS = {
    "torch": "2.15.0",
    "transformers": "5.24.0",
    "peft": "0.21.2",
    "safetensors": "0.8.0",
    "numpy": "2.4.6",
}
HERE = pathlib.Path(__file__).parent
# Odd ranks; a factor over the root of the rank; projections that are joined with others that have no adapter; latent
# attention. The experts of a mixture are one tensor here, whose adapters are of another kind.
CASES = {
    "llama": dict(
        r=3,
        lora_alpha=7,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    ),
    "qwen2": dict(r=5, lora_alpha=4, use_rslora=True, target_modules=["v_proj", "up_proj"]),
    "deepseek-v3": dict(
        r=2, lora_alpha=6, target_modules=["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "o_proj"]
    ),
}


def make(name, case):
    torch.manual_seed(11)
    how = {"attn_implementation": "eager", "experts_implementation": "eager"}
    model = AutoModelForCausalLM.from_pretrained(HERE / "families" / name, dtype=torch.float32, **how)
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **case))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "lora_" in key:
                parameter.normal_(std=0.2)
    model.eval()
    theirs = load_file(HERE / "families" / name / "golden.safetensors")
    sequences = [theirs[f"tokens.{n}"] for n in range(sum(key.startswith("tokens.") for key in theirs))]

    def logprobs(model, tokens):
        ids = tokens.long()[None]
        said = torch.log_softmax(model(input_ids=ids).logits.float(), -1)
        return said[0, :-1].gather(1, ids[0, 1:, None])[:, 0]

    golden = {}
    said = [logprobs(model, tokens) for tokens in sequences]
    (-torch.cat(said).mean()).backward()
    for n, (tokens, said) in enumerate(zip(sequences, said)):
        golden[f"tokens.{n}"] = tokens
        golden[f"logprobs.{n}"] = said.detach().contiguous()
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, key
            golden["grad." + key.replace(".default.", ".")] = parameter.grad.contiguous()
    folder = HERE / "adapters" / name
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as saved:
        model.save_pretrained(saved)
        folder.mkdir(parents=True)
        shutil.copyfile(pathlib.Path(saved, "adapter_model.safetensors"), folder / "adapter_model.safetensors")
        config = pathlib.Path(saved, "adapter_config.json").read_text()
        # Where the model lay when the script ran says nothing.
        folder.joinpath("adapter_config.json").write_text(config.replace(str(HERE / "families" / name), name))
    keys = set(get_peft_model_state_dict(model))
    assert keys == {key[len("grad."):] for key in golden if key.startswith("grad.")}
    merged = model.merge_and_unload()
    with torch.no_grad():
        for n, tokens in enumerate(sequences):
            golden[f"merged.{n}"] = logprobs(merged, tokens).contiguous()
    save_file(golden, folder / "golden.safetensors", metadata={"format": "pt"})


for package, version in VERSIONS.items():
    found = importlib.metadata.version(package)
    assert found.split("+")[0] == version, f"{package} is {found}, not {version}"
for name, case in CASES.items():
    make(name, case)
