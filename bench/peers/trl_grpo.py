"""TRL's GRPO step: 16 prompts of 32 tokens x 8, one update, no KL term. Seconds a step.

Completions end where the workload says: the end of sequence is forced there and suppressed before.
"""

import statistics
import tempfile
import time

import common

parser = common.arguments(__doc__, precisions=("f32", "bf16"))
parser.add_argument("--micro-batch", type=int, default=16, help="sequences trained together")
ask = common.parse(parser)
common.require("torch", "transformers", "trl", "datasets")
import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from transformers import LogitsProcessor, PreTrainedTokenizerFast, TrainerCallback  # noqa: E402
from trl import GRPOConfig, GRPOTrainer  # noqa: E402

import hf_model  # noqa: E402

torch.set_num_threads(ask.threads)
shape, lengths = common.SHAPES[ask.model], common.lengths(ask.lengths)
EOS = 0
samples = common.PROMPTS * common.GROUP

words = {"<eos>": EOS, **{f"t{token}": token for token in range(1, shape.vocabulary)}}
tokenizer = Tokenizer(models.WordLevel(words, unk_token="<eos>"))
tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>", padding_side="left"
)


class Exact(LogitsProcessor):
    """Ends every row at its length, by the end of sequence as its last token."""

    def __init__(self):
        self.last = torch.tensor(lengths) - 1

    def __call__(self, input_ids, scores):
        done = input_ids.shape[1] - common.PROMPT
        scores[:, EOS] = -torch.inf
        ends = self.last <= done
        scores[ends] = -torch.inf
        scores[ends, EOS] = 0.0
        return scores


model = hf_model.model(shape, common.PROMPT + common.LONGEST, torch.float32)
generate = model.generate


def generate_exact(*args, **kwargs):
    start = time.perf_counter()
    found = generate(*args, logits_processor=[Exact()], **kwargs)
    generation.append(time.perf_counter() - start)
    return found


model.generate = generate_exact
generation, stamps, found_lengths = [], [], []


def reward(completions, completion_ids, **_):
    found_lengths[:] = sorted(len(ids) for ids in completion_ids)
    return [float(index % 2) for index in range(len(completions))]


class Stamp(TrainerCallback):
    def on_step_end(self, *_, **__):
        stamps.append(time.perf_counter())


prompts = [common.tokens(common.PROMPT, i, shape.vocabulary) for i in range(common.PROMPTS)]
data = Dataset.from_dict({"prompt": [" ".join(f"t{token}" for token in one) for one in prompts]})
with tempfile.TemporaryDirectory() as folder:
    steps = ask.repetitions + 2
    config = GRPOConfig(
        output_dir=folder,
        use_cpu=True,
        bf16=ask.precision == "bf16",
        per_device_train_batch_size=ask.micro_batch,
        gradient_accumulation_steps=samples // ask.micro_batch,
        num_generations=common.GROUP,
        max_completion_length=common.LONGEST,
        temperature=1.0,
        top_k=0,
        beta=0.0,
        loss_type="dapo",
        learning_rate=1e-4,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        gradient_checkpointing=False,
        max_steps=steps,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=reward,
        args=config,
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[Stamp()],
    )
    trainer.train()
assert found_lengths == sorted(lengths), found_lengths
# The first step warms up.
seconds = [after - before for before, after in zip(stamps[1:], stamps[2:])]
common.report(
    f"trl grpo {ask.model} {ask.lengths} {ask.precision}",
    "s",
    seconds,
    generation=statistics.median(generation[2:]),
)
