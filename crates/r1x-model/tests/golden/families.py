"""Writes the folder `families` beside this script: for each family of published models a tiny random one as
Hugging Face saves and computes it. Tests read the folders; nothing else needs Python.

The configurations are in `family_cases.py`. Made with Python 3.11, torch 2.15.0 (on the CPU), transformers 5.24.0,
safetensors 0.8.0, numpy 2.4.6:

    pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0 numpy==2.4.6
    python families.py [NAME...]

A folder holds `config.json` and `model.safetensors` as a published model has them, `config.older.json`, which
says the same in the words of transformers 4, and `golden.safetensors` with, for each sequence N,
    tokens.N       its ids, u32
    logits.N       [tokens, vocabulary], computed in f32
    logits64.N     the same with every operation in f64, so that rounding and error can be told apart
    logprobs.N     log-prob of each token but the first, at a temperature of 1
    greedy.N       the tokens that follow the sequence where the largest logit is taken; no token ends it
    greedy_gap.N   by how much each of those logits was larger than the second
    grad.NAME      gradient of the mean over all log-probs of all sequences, negated, for each tensor of the model
and, as JSON under `golden` in the header, what is special about the model and how close its decisions were.
The seed of a model is the first one whose decisions (of greedy sampling, and of routers) are not close, whose
every tensor has a gradient, and whose greedy tokens are several.
"""

import copy
import importlib.metadata
import itertools
import json
import pathlib
import platform
import shutil
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.overrides import TorchFunctionMode
from transformers import AutoModelForCausalLM

from family_cases import cases

VERSIONS = {"torch": "2.15.0", "transformers": "5.24.0", "safetensors": "0.8.0", "numpy": "2.4.6"}
LENGTHS = (7, 12, 17)
GREEDY = 24
GREEDY_MARGIN = 5e-3
VARIETY = 5
ROUTER_MARGIN = 5e-4
FOLDER = pathlib.Path(__file__).with_name("families")
HOW = {"attn_implementation": "eager", "experts_implementation": "eager"}


class Double(TorchFunctionMode):
    """Everything in f64, also where a model asks for f32; and how close each choice of experts was."""

    def __init__(self):
        super().__init__()
        self.margin = float("inf")
        self.chosen_below_closed = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        def double(value):
            return torch.float64 if value is torch.float32 else value

        args = tuple(double(value) for value in args)
        kwargs = {key: double(value) for key, value in (kwargs or {}).items()}
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        said = func(*args, **kwargs)
        assert getattr(said, "dtype", None) is not torch.float32, f"{func} is still in f32"
        if func in (torch.topk, torch.Tensor.topk):
            self.watch(args[0], said.values.shape[-1])
        return said

    def watch(self, scores, count):
        ordered = scores.detach().sort(dim=-1, descending=True).values
        if count < ordered.shape[-1]:
            self.margin = min(self.margin, (ordered[..., count - 1] - ordered[..., count]).min().item())
        closed = ordered[..., -1] == float("-inf")
        self.chosen_below_closed |= bool((closed & (ordered[..., count - 1] < 0)).any())


def build(config, dtype=torch.float32):
    return AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=dtype, **HOW).eval()


def randomize(model, generator, real_vocabulary):
    """Weights large enough that every part of the model shows in the logits."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("norm.weight"):
                parameter.copy_(1 + 0.2 * noise)
            else:
                parameter.copy_(0.25 * noise)
            if real_vocabulary and parameter.shape[0] == model.config.vocab_size:
                parameter[real_vocabulary:] *= 0.05
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.copy_(0.8 * torch.rand(buffer.shape, generator=generator) - 0.7)


def logits_of(model, tokens):
    return model(input_ids=tokens[None], use_cache=False).logits[0]


def greedy(model, tokens):
    """Tokens and gaps, each step computed from the start; keys and values kept in a cache must say the same."""
    every, gaps, fed, cache = tokens, [], tokens, None
    for _ in range(GREEDY):
        top = logits_of(model, every)[-1].topk(2)
        cached = model(input_ids=fed[None], use_cache=True, cache=cache)
        cache = cached.cache
        fed = top.indices[:1]
        assert torch.equal(cached.logits[0, -1].argmax()[None], fed), "the cache decides otherwise"
        every = torch.cat([every, fed])
        gaps.append(top.values[0] - top.values[1])
    return every[len(tokens) :], torch.stack(gaps)


def published(model, stacked):
    """The tensors of a model under the names, and in the parts, that its files have."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, save_original_format=not stacked)
        return load_file(pathlib.Path(folder, "model.safetensors"))


def gradients(model, sequences):
    """Gradients under the names of files: a model whose weights they are is saved."""
    model.zero_grad()
    said = [torch.log_softmax(logits_of(model, tokens), dim=-1) for tokens in sequences]
    said = [rows[:-1].gather(1, tokens[1:, None])[:, 0] for rows, tokens in zip(said, sequences)]
    (-torch.cat(said).mean()).backward()
    holder = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in holder.named_parameters():
            gradient = model.get_parameter(name).grad
            parameter.copy_(torch.zeros_like(parameter) if gradient is None else gradient)
    return [rows.detach() for rows in said], holder


def doubled(config, state, sequences, continued):
    """Logits in f64 of the sequences, the holder of gradients, the watch over decisions, and the closest gap of
    a greedy token."""
    torch.set_default_dtype(torch.float64)
    try:
        state = {name: value.double() for name, value in state.items()}
        with Double() as watch:
            model = build(config, torch.float64)
            model.load_state_dict(state)
            logits, gap = [], float("inf")
            for tokens, greedily in zip(sequences, continued):
                with torch.no_grad():
                    logits.append(logits_of(model, tokens))
                    rows = logits_of(model, torch.cat([tokens, greedily]))[len(tokens) - 1 : -1]
                # Sorted whole, because the watch takes what is chosen by topk for experts.
                ordered = rows.sort(dim=-1, descending=True)
                if not torch.equal(ordered.indices[:, 0], greedily):
                    return None
                gap = min(gap, (ordered.values[:, 0] - ordered.values[:, 1]).min().item())
            _, holder = gradients(model, sequences)
    finally:
        torch.set_default_dtype(torch.float32)
    return logits, holder, watch, gap


def compute(case, config, seed):
    """The model of a seed and what is known of it, or nothing where a decision is close."""
    generator = torch.Generator().manual_seed(seed)
    model = build(config)
    randomize(model, generator, case.real_vocabulary)
    most = case.real_vocabulary or config.vocab_size
    sequences = [torch.randint(most, (length,), generator=generator) for length in LENGTHS]
    with torch.no_grad():
        logits = [logits_of(model, tokens) for tokens in sequences]
        continued = [greedy(model, tokens) for tokens in sequences]
    if min(gaps.min() for _, gaps in continued) < GREEDY_MARGIN:
        return None
    if min(len(set(tokens.tolist())) for tokens, _ in continued) < VARIETY:
        return None
    reference = doubled(config, model.state_dict(), sequences, [tokens for tokens, _ in continued])
    if reference is None or reference[2].margin < ROUTER_MARGIN:
        return None
    logits64, holder64, watch, gap = reference
    if case.real_vocabulary and any((tokens >= most).any() for tokens, _ in continued):
        return None
    if case.below_closed and not watch.chosen_below_closed:
        return None
    said, holder = gradients(model, sequences)
    tensors = {}
    for index, tokens in enumerate(sequences):
        tensors[f"tokens.{index}"] = tokens.to(torch.uint32)
        tensors[f"logits.{index}"] = logits[index]
        tensors[f"logits64.{index}"] = logits64[index]
        tensors[f"logprobs.{index}"] = said[index]
        tensors[f"greedy.{index}"] = continued[index][0].to(torch.uint32)
        tensors[f"greedy_gap.{index}"] = continued[index][1]
    rounding = max((a - b).abs().max().item() for a, b in zip(logits, logits64))
    assert rounding < 1e-4, f"logits in f64 differ by {rounding}"
    grads, grads64 = (published(model, case.stacked) for model in (holder, holder64))
    if any(not name.endswith("_bias") and value.abs().max() == 0 for name, value in grads.items()):
        return None
    off = max((grads[name] - grads64[name]).abs().max().item() for name in grads)
    assert off < 1e-4, f"gradients in f64 differ by {off}"
    tensors.update({f"grad.{name}": value for name, value in grads.items() if not name.endswith("_bias")})
    facts = {
        "seed": seed,
        "largest_difference_of_logits_to_f64": rounding,
        "largest_difference_of_gradients_to_f64": off,
        "smallest_greedy_gap": gap,
        "smallest_router_margin": None if watch.margin == float("inf") else watch.margin,
    }
    return model, tensors, facts


def older_words(said, case):
    """A configuration as transformers 4 and the authors of models write it."""
    said = copy.deepcopy(said)
    turn = said.pop("rope_parameters")
    kind = turn.pop("rope_type")
    said["rope_theta"] = turn.pop("rope_theta")
    if "partial_rotary_factor" in turn:
        said["partial_rotary_factor"] = turn.pop("partial_rotary_factor")
    said["rope_scaling"] = (
        None if kind == "default" else {"rope_type" if kind == "llama3" else "type": kind, **turn}
    )
    said["torch_dtype"] = said.pop("dtype")
    said["transformers_version"] = "4.46.3"
    kept = {key: value for key, value in said.items() if key not in ("layer_types", *case.absent)}
    said = {case.older_names.get(key, key): value for key, value in kept.items()}
    return {**said, **case.inert}


def differs(case, config, model, sequences):
    """Other values of keys that matter must give other logits."""
    for other in case.matters:
        changed = type(config)(**{**case.keys, **other})
        second = build(changed)
        second.load_state_dict(model.state_dict())
        with torch.no_grad():
            away = max((logits_of(second, t) - logits_of(model, t)).abs().max() for t in sequences)
        assert away > 1e-2, f"{other} matters by {away} only"


def reloads(folder, logits, sequences):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **HOW).eval()
    with torch.no_grad():
        for tokens, expected in zip(sequences, logits):
            assert torch.equal(logits_of(model, tokens), expected), (
                f"{folder} says something else when loaded"
            )


def write(name, case):
    config = getattr(transformers, case.family)(**copy.deepcopy(case.keys))
    first = sum(name.encode())
    found = (compute(case, config, seed) for seed in itertools.count(first))
    model, tensors, facts = next(filter(None, found))
    sequences = [tensors[f"tokens.{index}"].long() for index in range(len(LENGTHS))]
    logits = [tensors[f"logits.{index}"] for index in range(len(LENGTHS))]
    differs(case, config, model, sequences)

    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, save_original_format=not case.stacked)
    (folder / "generation_config.json").unlink()
    reloads(folder, logits, sequences)
    newer = (folder / "config.json").read_text()
    said = json.loads(newer)
    older = json.dumps(older_words(said, case), indent=2, sort_keys=True) + "\n"
    (folder / "config.json").write_text(older)
    reloads(folder, logits, sequences)
    (folder / "config.older.json").write_text(older)
    if case.both:
        newer = json.dumps({**said, **older_words(said, case)}, indent=2, sort_keys=True) + "\n"
    (folder / "config.json").write_text(newer)
    reloads(folder, logits, sequences)

    weights = load_file(folder / "model.safetensors")
    expected = {name for name in weights if not name.endswith("e_score_correction_bias")}
    assert {name[5:] for name in tensors if name.startswith("grad.")} == expected
    about = {"notes": case.notes, "versions": {"python": platform.python_version(), **VERSIONS}, **facts}
    if case.real_vocabulary:
        about["real_vocabulary"] = case.real_vocabulary
    tensors = {key: value.contiguous() for key, value in tensors.items()}
    # One key: the order of several is not fixed, and the same run should write the same bytes.
    save_file(tensors, folder / "golden.safetensors", {"golden": json.dumps(about)})
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{name}: {size / 1024:.0f} KiB, {json.dumps(facts)}")


def main(names):
    for package, version in VERSIONS.items():
        found = importlib.metadata.version(package)
        assert found == version, f"{package} is {found}; these files are made with {version}"
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    every = cases()
    for name in names or every:
        write(name, every[name])


if __name__ == "__main__":
    main(sys.argv[1:])
