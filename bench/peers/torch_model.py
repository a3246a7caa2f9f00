"""The decoder of `cargo xtask bench` in plain PyTorch: as little overhead as PyTorch allows."""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        hidden, d = shape.hidden, shape.head_dim
        self.attention_norm = nn.RMSNorm(hidden, eps=shape.eps)
        self.qkv = nn.Linear(hidden, (shape.heads + 2 * shape.kv_heads) * d, bias=False)
        self.o = nn.Linear(shape.heads * d, hidden, bias=False)
        self.feed_forward_norm = nn.RMSNorm(hidden, eps=shape.eps)
        self.gate_up = nn.Linear(hidden, 2 * shape.intermediate, bias=False)
        self.down = nn.Linear(shape.intermediate, hidden, bias=False)

    def forward(self, x, cos, sin):
        batch, length, _ = x.shape
        heads, kv, d = self.shape.heads, self.shape.kv_heads, self.shape.head_dim
        qkv = self.qkv(self.attention_norm(x)).view(batch, length, heads + 2 * kv, d).transpose(1, 2)
        q, k, v = qkv.split((heads, kv, kv), dim=1)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.o(y.transpose(1, 2).reshape(batch, length, heads * d))
        gate, up = self.gate_up(self.feed_forward_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


def rotate(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class Decoder(nn.Module):
    def __init__(self, shape, context):
        super().__init__()
        self.embedding = nn.Embedding(shape.vocabulary, shape.hidden)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.hidden, eps=shape.eps)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
        d = shape.head_dim
        rates = shape.theta ** (-torch.arange(0, d, 2) / d)
        angles = torch.outer(torch.arange(context), rates)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, tokens):
        length = tokens.shape[1]
        cos, sin = self.cos[:length], self.sin[:length]
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, cos, sin)
        # The head is the embedding.
        return F.linear(self.norm(x), self.embedding.weight)
