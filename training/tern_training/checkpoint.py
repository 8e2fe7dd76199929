"""Where the training stands, in one file, written whole or not at all: a sitting that is killed loses only itself."""

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from .model import LanguageModel

# (step, held text, held dialogue, held conversations), losses in nats a token.
CurvePoint = tuple[int, float, float, float]


@dataclass
class Position:
    """`spent_seconds` of training, in all sittings."""

    step: int = 0
    spent_seconds: float = 0.0
    curve: list[CurvePoint] = field(default_factory=list)


def save_checkpoint(path: Path, model: LanguageModel, optimizer: torch.optim.Optimizer, position: Position) -> None:
    partial = path.with_suffix(".partial")
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "position": asdict(position)}
    torch.save(content, partial)
    os.replace(partial, path)


def load_checkpoint(path: Path, model: LanguageModel, optimizer: torch.optim.Optimizer, device: str) -> Position:
    """Into `model` and `optimizer`. A fresh position, and nothing else, where there is no checkpoint."""
    if not path.exists():
        return Position()
    content = torch.load(path, map_location=device, weights_only=True)
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return Position(**content["position"])
