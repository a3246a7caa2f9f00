"""llama.cpp through its C interface: 16 prompts of 32 tokens, each computed once, x 8 samples. Tokens/s.

The model is written as GGUF with random weights. Finished sequences leave the batch.
"""

import ctypes
import tempfile
from pathlib import Path

import common

ask = common.parse(common.arguments(__doc__))
common.require("llama_cpp", "gguf", "numpy")
import gguf  # noqa: E402
import llama_cpp as lib  # noqa: E402
import numpy as np  # noqa: E402

shape, lengths = common.SHAPES[ask.model], common.lengths(ask.lengths)


def write_model(path):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(common.PROMPT + common.LONGEST)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.intermediate)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.theta)
    writer.add_layer_norm_rms_eps(shape.eps)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_tokenizer_model("none")
    random = np.random.default_rng(1)

    def matrix(name, rows, columns):
        values = random.normal(0.0, 0.02, (rows, columns)).astype(np.float32)
        if ask.precision == "f32":
            writer.add_tensor(name, values)
        else:
            kind = gguf.GGMLQuantizationType.BF16
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    def ones(name):
        writer.add_tensor(name, np.ones(shape.hidden, np.float32))

    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    matrix("token_embd.weight", shape.vocabulary, shape.hidden)
    ones("output_norm.weight")
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        ones(f"{block}.attn_norm.weight")
        matrix(f"{block}.attn_q.weight", q, shape.hidden)
        matrix(f"{block}.attn_k.weight", kv, shape.hidden)
        matrix(f"{block}.attn_v.weight", kv, shape.hidden)
        matrix(f"{block}.attn_output.weight", shape.hidden, q)
        ones(f"{block}.ffn_norm.weight")
        matrix(f"{block}.ffn_gate.weight", shape.intermediate, shape.hidden)
        matrix(f"{block}.ffn_up.weight", shape.intermediate, shape.hidden)
        matrix(f"{block}.ffn_down.weight", shape.hidden, shape.intermediate)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@lib.llama_log_callback
def silent(_level, _text, _data):
    pass


lib.llama_log_set(silent, ctypes.c_void_p())
lib.llama_backend_init()
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "model.gguf")
    write_model(path)
    params = lib.llama_model_default_params()
    params.use_mmap = False
    model = lib.llama_model_load_from_file(str(path).encode(), params)
assert model, "llama.cpp refuses the model"
samples = common.PROMPTS * common.GROUP
params = lib.llama_context_default_params()
params.n_ctx = samples * (common.PROMPT + common.LONGEST)
params.n_batch = params.n_ubatch = max(samples, common.PROMPTS * common.PROMPT)
params.n_seq_max = samples
params.n_threads = params.n_threads_batch = ask.threads
# A cache for each sequence: in a common one, attention goes over the positions of all sequences.
params.kv_unified = False
if ask.precision == "f32":
    params.type_k = params.type_v = 0
context = lib.llama_init_from_model(model, params)
assert context, "llama.cpp makes no context"
memory = lib.llama_get_memory(context)
batch = lib.llama_batch_init(params.n_batch, 0, 1)
samplers = []
for index in range(samples):
    chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
    lib.llama_sampler_chain_add(chain, lib.llama_sampler_init_dist(index))
    samplers.append(chain)


def put(row, token, position, sequence, wanted):
    batch.token[row] = token
    batch.pos[row] = position
    batch.n_seq_id[row] = 1
    batch.seq_id[row][0] = sequence
    batch.logits[row] = wanted


def decode(rows):
    batch.n_tokens = rows
    status = lib.llama_decode(context, batch)
    assert status == 0, f"llama_decode: {status}"


def work():
    lib.llama_memory_clear(memory, True)
    row, ends = 0, []
    for prompt in range(common.PROMPTS):
        tokens = common.tokens(common.PROMPT, prompt, shape.vocabulary)
        for position, token in enumerate(tokens):
            put(row, token, position, prompt * common.GROUP, position + 1 == common.PROMPT)
            row += 1
        ends.append(row - 1)
    decode(row)
    last = [lib.llama_sampler_sample(samplers[i], context, ends[i // common.GROUP]) for i in range(samples)]
    for index in range(samples):
        if index % common.GROUP:
            lib.llama_memory_seq_cp(memory, index - index % common.GROUP, index, -1, -1)
    drawn = [1] * samples
    active = [index for index in range(samples) if drawn[index] < lengths[index]]
    while active:
        for row, index in enumerate(active):
            put(row, last[index], common.PROMPT + drawn[index] - 1, index, True)
        decode(len(active))
        for row, index in enumerate(active):
            last[index] = lib.llama_sampler_sample(samplers[index], context, row)
            drawn[index] += 1
        active = [index for index in active if drawn[index] < lengths[index]]
    assert drawn == lengths


seconds = common.repeat(work, ask.repetitions)
rates = [sum(lengths) / one for one in seconds]
common.report(f"llama.cpp generate {ask.model} {ask.lengths} {ask.precision}", "tokens/s", rates)
