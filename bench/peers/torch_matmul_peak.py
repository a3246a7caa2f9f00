"""PyTorch's matrix product at the shapes of `cargo xtask bench matmul`: x @ W.T, GFLOP/s."""

import statistics
import time

import common

ask = common.parse(common.arguments(__doc__, with_lengths=False))
common.require("torch")
import torch  # noqa: E402

torch.set_num_threads(ask.threads)
dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[ask.precision]
SHAPES = {
    "small": [(256, 256), (256, 768), (768, 256), (256, 512)],
    "big": [(512, 512), (512, 1536), (1536, 512), (512, 8192)],
}
rows = []
with torch.inference_mode():
    for k, n in SHAPES[ask.model]:
        weight = torch.randn(n, k).to(dtype)
        for m in (1, 2, 16, 128, 2560):
            x, flops = torch.randn(m, k).to(dtype), 2 * m * k * n
            calls = max(1, round(2e8 / flops))

            def work():
                for _ in range(calls):
                    torch.nn.functional.linear(x, weight)

            seconds = common.repeat(work, max(ask.repetitions, 3))
            rate = calls * flops / statistics.median(seconds) / 1e9
            rows.append({"shape": f"{m}x{k}x{n}", "gflops": round(rate, 1)})
            print(f"{m:>5} x {k:>5} x {n:>5}  {rate:8.1f} GFLOP/s", flush=True)
# A product too large to be limited by anything else.
a, b = torch.randn(2048, 2048).to(dtype), torch.randn(2048, 2048).to(dtype)
with torch.inference_mode():
    seconds = common.repeat(lambda: a @ b, max(ask.repetitions, 3))
peak = [2 * 2048**3 / one / 1e9 for one in seconds]
common.report("torch matmul 2048^3", "GFLOP/s", peak, rows=rows)
