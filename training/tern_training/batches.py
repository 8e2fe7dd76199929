"""Token streams on the training device, and batches of windows drawn from them in a mixture that follows the run."""

from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer

from .chat_format import ASSISTANT, BOS, EOS, SYSTEM, USER
from .prepare import HELD_KINDS, KINDS

# Of the assistant's words and of plain text: 1.
QUIET_WEIGHT = 0.25

# Shares of text, public dialogue and our conversations, at the start and at the end.
FIRST_MIXTURE = (0.45, 0.25, 0.30)
LAST_MIXTURE = (0.12, 0.15, 0.73)
# The mixture changes from here on, evenly.
MIXTURE_CHANGES_AFTER = 0.45


@dataclass
class TokenStream:
    """Documents end to end, [N] int32; `weights` [N] float32 says how much each counts in the loss."""

    tokens: torch.Tensor
    weights: torch.Tensor


def said_by_others(tokens: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """[N] bool: said by the user or the system, their tags included. Plain text is said by nobody else."""
    begins_quiet = np.isin(tokens, [tokenizer.token_to_id(tag) for tag in (USER, SYSTEM)])
    ends_quiet = np.isin(tokens, [tokenizer.token_to_id(tag) for tag in (ASSISTANT, BOS, EOS)])
    # At every token, the position of the last one that changed who speaks.
    changes = np.where(begins_quiet | ends_quiet, np.arange(len(tokens)), 0)
    return begins_quiet[np.maximum.accumulate(changes)]


def load_streams(folder: str, tokenizer: Tokenizer, device: str) -> dict[str, TokenStream]:
    """The arrays that prepare.py wrote, by kind. Held-out streams count every token alike."""
    streams = {}
    for kind in (*KINDS, *HELD_KINDS):
        tokens = np.load(f"{folder}/{kind}.npy")
        weights = np.ones(len(tokens), np.float32)
        if kind in KINDS:
            weights[said_by_others(tokens, tokenizer)] = QUIET_WEIGHT
        ids = torch.from_numpy(tokens.astype(np.int32)).to(device)
        streams[kind] = TokenStream(ids, torch.from_numpy(weights).to(device))
    return streams


def mixture(progress: float) -> tuple[float, ...]:
    """Shares of text, public dialogue and our conversations at `progress` in 0..1; they sum to 1."""
    changed = max(0.0, (progress - MIXTURE_CHANGES_AFTER) / (1 - MIXTURE_CHANGES_AFTER))
    return tuple(first + (last - first) * changed for first, last in zip(FIRST_MIXTURE, LAST_MIXTURE, strict=True))


@dataclass
class Batch:
    """Inputs and targets [B, T] int32, weights of the targets [B, T] float32."""

    inputs: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor


class Batches:
    """Random windows of `context` tokens, `size` in a batch; every process draws with a seed of its own."""

    def __init__(self, streams: dict[str, TokenStream], size: int, context: int, seed: int):
        self.streams = [streams[kind] for kind in KINDS]
        for kind, stream in zip(KINDS, self.streams, strict=True):
            if len(stream.tokens) < context + 2:
                raise ValueError(f"{kind}: {len(stream.tokens)} tokens are too few for windows of {context}")
        self.size = size
        self.context = context
        device = self.streams[0].tokens.device
        self.generator = torch.Generator(device=device).manual_seed(seed)
        self.window = torch.arange(context + 1, device=device)

    def draw(self, progress: float) -> Batch:
        *others, _ = mixture(progress)
        counts = [round(self.size * share) for share in others]
        tokens, weights = [], []
        for stream, count in zip(self.streams, [*counts, self.size - sum(counts)], strict=True):
            starts = torch.randint(
                0,
                len(stream.tokens) - self.context - 1,
                (count, 1),
                generator=self.generator,
                device=self.window.device,
            )
            tokens.append(stream.tokens[starts + self.window])
            weights.append(stream.weights[starts + self.window])
        drawn, weight = torch.cat(tokens), torch.cat(weights)
        return Batch(drawn[:, :-1].contiguous(), drawn[:, 1:].contiguous(), weight[:, 1:].contiguous())
