"""transformers' generate: 16 prompts of 32 tokens x 8 samples. Wanted tokens/s.

Ragged lengths run until the longest is done, as a batch of `generate` does; what comes after a sample's own
length counts for nothing.
"""

import common

ask = common.parse(common.arguments(__doc__))
common.require("torch", "transformers")
import torch  # noqa: E402

import hf_model  # noqa: E402

torch.set_num_threads(ask.threads)
shape, lengths = common.SHAPES[ask.model], common.lengths(ask.lengths)
dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[ask.precision]
model = hf_model.model(shape, common.PROMPT + common.LONGEST, dtype).eval()
model.generation_config.eos_token_id = None
prompts = [common.tokens(common.PROMPT, i, shape.vocabulary) for i in range(common.PROMPTS)]
prompts = torch.tensor(prompts).repeat_interleave(common.GROUP, dim=0)


def work():
    with torch.inference_mode():
        model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            max_new_tokens=max(lengths),
            min_new_tokens=max(lengths),
            pad_token_id=0,
        )


seconds = common.repeat(work, ask.repetitions)
rates = [sum(lengths) / one for one in seconds]
common.report(f"transformers generate {ask.model} {ask.lengths} {ask.precision}", "tokens/s", rates)
