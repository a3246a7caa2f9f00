"""vLLM on the CPU: 16 prompts of 32 tokens x 8 samples, every sample a request of its own length. Tokens/s."""

import json
import os
import tempfile
from pathlib import Path

import common

if __name__ == "__main__":
    ask = common.parse(common.arguments(__doc__))
    common.require("vllm", "torch")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", f"0-{ask.threads - 1}")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    # The engine in this process, so that its memory is counted.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    from vllm import LLM, SamplingParams

    import hf_model

    shape, lengths = common.SHAPES[ask.model], common.lengths(ask.lengths)
    context = common.PROMPT + common.LONGEST
    with tempfile.TemporaryDirectory() as folder:
        config = hf_model.config(shape, context).to_dict()
        config["architectures"] = ["LlamaForCausalLM"]
        Path(folder, "config.json").write_text(json.dumps(config))
        engine = LLM(
            model=folder,
            load_format="dummy",
            skip_tokenizer_init=True,
            dtype={"f32": "float32", "bf16": "bfloat16"}[ask.precision],
            max_model_len=context,
            max_num_seqs=common.PROMPTS * common.GROUP,
            seed=1,
        )
        prompts, sampling = [], []
        for index, length in enumerate(lengths):
            tokens = common.tokens(common.PROMPT, index // common.GROUP, shape.vocabulary)
            prompts.append({"prompt_token_ids": tokens})
            sampling.append(
                SamplingParams(
                    temperature=1.0, max_tokens=length, ignore_eos=True, detokenize=False
                )
            )

        def work():
            outputs = engine.generate(prompts, sampling, use_tqdm=False)
            found = [len(output.outputs[0].token_ids) for output in outputs]
            assert found == lengths, found

        seconds = common.repeat(work, ask.repetitions, warm_up=2)
        rates = [sum(lengths) / one for one in seconds]
        name = f"vllm generate {ask.model} {ask.lengths} {ask.precision}"
        common.report(name, "tokens/s", rates)
