"""HGRNBit, the MatMul-free language model, for training.

Architecture, numerics and parameter names follow the published implementation (ridgerchu/matmulfreellm: FusedBitLinear,
HGRNBitAttention, HGRNBitMLP), so that an exported checkpoint runs there unchanged. No inference cache: it reads whole
sequences only.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F

from .scan import Scan

NORM_EPSILON = 1e-6
# Smallest absmean and absmax, as in the published implementation.
SCALE_FLOOR = 1e-5


@dataclass
class ModelShape:
    vocabulary_size: int
    hidden_size: int = 768
    layer_count: int = 12
    intermediate_size: int = 2048


class QuantizedLinear(torch.autograd.Function):
    """int8 absmax activations times ternary absmean weights; gradients pass straight through both roundings."""

    @staticmethod
    def forward(ctx, y: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """y [..., K] float32, weight [N, K] float32 -> [..., N] bfloat16."""
        # Multiplies to quantise: one for each token. The weights' scale divides: one for the matrix.
        activation_scale = 127.0 / y.abs().amax(-1, keepdim=True).clamp(min=SCALE_FLOOR)
        quantized = (y * activation_scale).round().clamp(-128, 127).to(torch.bfloat16)
        weight_scale = weight.abs().mean().clamp(min=SCALE_FLOOR)
        ternary = (weight / weight_scale).round().clamp(-1, 1).to(torch.bfloat16)
        out = F.linear(quantized, ternary)
        scale = weight_scale / activation_scale
        ctx.save_for_backward(quantized, ternary, activation_scale, weight_scale)
        return (out.float() * scale).to(torch.bfloat16)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        quantized, ternary, activation_scale, weight_scale = ctx.saved_tensors
        dy = ((gradient @ ternary).float() * weight_scale).to(torch.bfloat16)
        dequantized = (quantized.float() / activation_scale).to(torch.bfloat16)
        dweight = gradient.reshape(-1, gradient.shape[-1]).t() @ dequantized.reshape(-1, dequantized.shape[-1])
        return dy.float(), dweight.float()


def rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """float32, over the last axis."""
    x = x.float()
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + NORM_EPSILON) * weight


class Norm(nn.Module):
    """Only the weight: rms_norm does the arithmetic."""

    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))


class BitLinear(nn.Module):
    def __init__(self, inputs: int, outputs: int, std: float = 0.02):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * std)
        self.norm = Norm(inputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return QuantizedLinear.apply(rms_norm(x, self.norm.weight), self.weight)


def output_std(layer_count: int) -> float:
    """Residual branches start smaller, the deeper the model."""
    return 0.02 / math.sqrt(2 * layer_count)


class TokenMixing(nn.Module):
    """MLGRU. Named `attn` in checkpoints."""

    def __init__(self, hidden_size: int, layer_count: int):
        super().__init__()
        self.i_proj = BitLinear(hidden_size, hidden_size)
        self.f_proj = BitLinear(hidden_size, hidden_size)
        self.g_proj = BitLinear(hidden_size, hidden_size)
        self.o_proj = BitLinear(hidden_size, hidden_size, output_std(layer_count))
        self.g_norm = Norm(hidden_size)

    def forward(self, x: torch.Tensor, lower_bound: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        """x [B, T, D]; lower_bound [D]; keep [B, T, 1] is 0 where a document starts and the state is forgotten."""
        i, f = self.i_proj(x).float(), self.f_proj(x).float().sigmoid()
        f = lower_bound + (1 - lower_bound) * f
        i = F.silu(i) * (1 - f)
        h = Scan.apply(i, f * keep)
        o = rms_norm(self.g_proj(x), self.g_norm.weight) * h * h.sigmoid()
        return self.o_proj(o.to(torch.bfloat16))


class ChannelMixing(nn.Module):
    """GLU. Named `mlp` in checkpoints."""

    def __init__(self, hidden_size: int, intermediate_size: int, layer_count: int):
        super().__init__()
        self.gate_proj = BitLinear(hidden_size, 2 * intermediate_size)
        self.down_proj = BitLinear(intermediate_size, hidden_size, output_std(layer_count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, up = self.gate_proj(x).float().chunk(2, -1)
        return self.down_proj((F.silu(gate) * up).to(torch.bfloat16))


class Block(nn.Module):
    def __init__(self, shape: ModelShape):
        super().__init__()
        self.attn_norm = Norm(shape.hidden_size)
        self.attn = TokenMixing(shape.hidden_size, shape.layer_count)
        self.mlp_norm = Norm(shape.hidden_size)
        self.mlp = ChannelMixing(shape.hidden_size, shape.intermediate_size, shape.layer_count)

    def forward(self, x: torch.Tensor, lower_bound: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(rms_norm(x, self.attn_norm.weight), lower_bound, keep)
        return x + self.mlp(rms_norm(x, self.mlp_norm.weight))


class Backbone(nn.Module):
    """Everything but the head. Named `model` in checkpoints."""

    def __init__(self, shape: ModelShape):
        super().__init__()
        self.embeddings = nn.Embedding(shape.vocabulary_size, shape.hidden_size)
        nn.init.normal_(self.embeddings.weight, std=0.02)
        self.lower_bounds = nn.Parameter(torch.zeros(shape.layer_count, shape.hidden_size))
        self.layers = nn.ModuleList([Block(shape) for _ in range(shape.layer_count)])
        self.norm = Norm(shape.hidden_size)


class LanguageModel(nn.Module):
    """Token ids [B, T] to logits [B, T, V] in bfloat16. The state starts anew at every `bos`."""

    def __init__(self, shape: ModelShape, bos: int):
        super().__init__()
        self.bos = bos
        self.vocabulary_size = shape.vocabulary_size
        self.model = Backbone(shape)
        self.lm_head = BitLinear(shape.hidden_size, shape.vocabulary_size)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        backbone = self.model
        x = backbone.embeddings(ids)
        keep = (ids != self.bos).float().unsqueeze(-1)
        lower_bounds = backbone.lower_bounds.softmax(0)
        lower_bounds = lower_bounds.cumsum(0) - lower_bounds[0]
        for index, block in enumerate(backbone.layers):
            x = block(x, lower_bounds[index] if index else torch.zeros_like(lower_bounds[0]), keep)
        return self.lm_head(rms_norm(x, backbone.norm.weight))

    def loss(self, ids: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Mean cross entropy in nats, each target counted by its weight; all [B, T]."""
        logits = self(ids).float().view(-1, self.vocabulary_size)
        losses = F.cross_entropy(logits, targets.reshape(-1).long(), reduction="none")
        return (losses * weights.reshape(-1)).sum() / weights.sum()
