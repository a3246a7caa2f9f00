"""The same decoder for transformers and TRL: a Llama with random weights and tied embeddings."""


def config(shape, context):
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=context,
        rms_norm_eps=shape.eps,
        tie_word_embeddings=True,
        attention_bias=False,
        mlp_bias=False,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )


def model(shape, context, dtype):
    import torch
    from transformers import LlamaForCausalLM

    torch.manual_seed(1)
    return LlamaForCausalLM(config(shape, context)).to(dtype)
