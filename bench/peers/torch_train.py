"""A training step in PyTorch: 16 sequences of 160 tokens, forward, backward, fused AdamW. Tokens/s.

bf16 is autocast with f32 weights and moments. `--compile` goes through torch.compile.
"""

import common

parser = common.arguments(__doc__, with_lengths=False)
parser.add_argument("--compile", action="store_true")
ask = common.parse(parser)
common.require("torch")
import torch  # noqa: E402

from torch_model import Decoder  # noqa: E402

torch.set_num_threads(ask.threads)
torch.manual_seed(1)
shape = common.SHAPES[ask.model]
model = Decoder(shape, common.LENGTH)
optimizer = torch.optim.AdamW(
    model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.01, fused=True
)
batch = [common.tokens(common.LENGTH + 1, i, shape.vocabulary) for i in range(common.SEQUENCES)]
batch = torch.tensor(batch)
inputs, targets = batch[:, :-1].contiguous(), batch[:, 1:].reshape(-1)


def loss_of(inputs, targets):
    with torch.autocast("cpu", torch.bfloat16, enabled=ask.precision == "bf16"):
        logits = model(inputs)
    return torch.nn.functional.cross_entropy(logits.view(-1, shape.vocabulary).float(), targets)


if ask.compile:
    loss_of = torch.compile(loss_of)


def step():
    optimizer.zero_grad()
    loss_of(inputs, targets).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


seconds = common.repeat(step, ask.repetitions, warm_up=3)
rates = [common.SEQUENCES * common.LENGTH / one for one in seconds]
name = "torch.compile" if ask.compile else "torch"
common.report(f"{name} train {ask.model} {ask.precision}", "tokens/s", rates)
