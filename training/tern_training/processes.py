"""One process a GPU, started by torchrun, or one alone; on a CPU the same, for the smoke test."""

import os
from types import TracebackType
from typing import Self

import torch
import torch.distributed as dist


class Processes:
    """The processes that train together. Used as a context; `is_first` is the one that logs, evaluates and saves."""

    def __init__(self, device: str):
        self.rank = int(os.environ.get("RANK", "0"))
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.is_first = self.rank == 0
        self.device = device if device == "cpu" else f"cuda:{os.environ.get('LOCAL_RANK', '0')}"

    def __enter__(self) -> Self:
        if self.device != "cpu":
            torch.cuda.set_device(self.device)
        if self.count > 1:
            dist.init_process_group("gloo" if self.device == "cpu" else "nccl")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # After an error the others are ended by torchrun; waiting for them here would never end.
        if self.count > 1 and error is None:
            dist.barrier()
            dist.destroy_process_group()

    def wait(self) -> None:
        """Until all processes and their devices are here."""
        if self.device != "cpu":
            torch.cuda.synchronize()
        if self.count > 1:
            dist.barrier()

    def told_by_first(self, values: list[float]) -> list[float]:
        """The first process's `values`, in all processes."""
        if self.count == 1:
            return values
        told = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.broadcast(told, 0)
        return told.tolist()

    def average_gradients(self, parameters: list[torch.nn.Parameter]) -> None:
        """In one message: the model is small, and many small ones would cost more than the copies."""
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in parameters]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.count
        for gradient, averaged in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(averaged.view_as(gradient))
