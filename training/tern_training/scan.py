"""The linear recurrence of MLGRU, h[t] = f[t] * h[t-1] + x[t], over whole sequences, with its gradient.

A Triton kernel on a GPU; elsewhere a plain loop, slow and obvious, for the smoke test. Both accumulate in float32.
"""

import torch

try:
    import triton
    import triton.language as tl
except ImportError:  # A machine without a GPU.
    triton = None

CHANNELS_PER_PROGRAM = 64

if triton is not None:

    @triton.jit
    def _scan_forward(x, f, h, T, D: tl.constexpr, BD: tl.constexpr):
        """x, f, h: [B, T, D]; one program for BD channels of one sequence."""
        d = tl.program_id(0) * BD + tl.arange(0, BD)
        b = tl.program_id(1).to(tl.int64)
        p = b * T * D + d
        state = tl.zeros([BD], dtype=tl.float32)
        for _ in range(T):
            state = tl.load(f + p).to(tl.float32) * state + tl.load(x + p).to(tl.float32)
            tl.store(h + p, state.to(h.dtype.element_ty))
            p += D

    @triton.jit
    def _scan_backward(f, h, dh, dx, df, T, D: tl.constexpr, BD: tl.constexpr):
        """f, h, dh, dx, df: [B, T, D]; walks each sequence from its end."""
        d = tl.program_id(0) * BD + tl.arange(0, BD)
        b = tl.program_id(1).to(tl.int64)
        p = b * T * D + (T - 1) * D + d
        gradient = tl.zeros([BD], dtype=tl.float32)
        for i in range(T):
            t = T - 1 - i
            gradient += tl.load(dh + p).to(tl.float32)
            previous = tl.load(h + p - D, mask=(t > 0) & (d < D), other=0.0).to(tl.float32)
            tl.store(dx + p, gradient.to(dx.dtype.element_ty))
            tl.store(df + p, (gradient * previous).to(df.dtype.element_ty))
            gradient *= tl.load(f + p).to(tl.float32)
            p -= D


class Scan(torch.autograd.Function):
    """h = Scan.apply(x, f); all [B, T, D]. On a GPU, D is a multiple of 64."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, f: torch.Tensor) -> torch.Tensor:
        x, f = x.contiguous(), f.contiguous()
        B, T, D = x.shape
        h = torch.empty_like(x)
        if x.is_cuda:
            _scan_forward[(D // CHANNELS_PER_PROGRAM, B)](x, f, h, T, D, CHANNELS_PER_PROGRAM, num_warps=1)
        else:
            state = torch.zeros(B, D)
            for t in range(T):
                state = f[:, t].float() * state + x[:, t].float()
                h[:, t] = state
        ctx.save_for_backward(f, h)
        return h

    @staticmethod
    def backward(ctx, dh: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        f, h = ctx.saved_tensors
        dh = dh.contiguous()
        B, T, D = h.shape
        dx, df = torch.empty_like(h), torch.empty_like(h)
        if h.is_cuda:
            _scan_backward[(D // CHANNELS_PER_PROGRAM, B)](f, h, dh, dx, df, T, D, CHANNELS_PER_PROGRAM, num_warps=1)
        else:
            gradient = torch.zeros(B, D)
            for t in reversed(range(T)):
                gradient = gradient + dh[:, t].float()
                dx[:, t] = gradient
                df[:, t] = gradient * h[:, t - 1].float() if t > 0 else 0.0
                gradient = gradient * f[:, t].float()
        return dx, df
