"""Trains the model, on one GPU or several, in one sitting or several, and exports it after each.

The paper's recipe (straight-through estimator, large learning rate, cosine schedule) with a warm-up and decoupled
weight decay. The run is a budget of seconds: learning rate and mixture follow the share of it that is spent, so the
same command on another machine makes another model.

    torchrun --nproc_per_node=4 -m tern_training.train --tokens tokens --work work --budget 1400 --sitting 480

Called again, it goes on from the checkpoint in the work folder, until the budget is spent.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from .batches import Batches, TokenStream, load_streams
from .chat_format import BOS, END, PAD
from .checkpoint import CurvePoint, Position, load_checkpoint, save_checkpoint
from .export import export_packed, write_config
from .model import LanguageModel, ModelShape
from .prepare import HELD_KINDS
from .processes import Processes
from .samples import QUESTIONS, reply

SEED = 0
WARM_UP_STEPS = 300
WEIGHT_DECAY = 0.05
MAX_GRADIENT_NORM = 1.0
# The learning rate ends at this share of its peak.
LAST_LEARNING_RATE_SHARE = 0.01
STEPS_BETWEEN_CLOCK_READINGS = 10
STEPS_BETWEEN_LOG_LINES = 250
STEPS_BETWEEN_EVALUATIONS = 2500
# Windows of a held-out stream that an evaluation reads, and how many at a time.
MAX_EVALUATED_WINDOWS = 32
EVALUATED_AT_ONCE = 8


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", default="tokens", help="folder that prepare.py wrote")
    parser.add_argument("--work", default="work", help="folder for the checkpoint, and for the results in out/")
    parser.add_argument("--hidden", type=int, default=768, help="a multiple of 64")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--inter", type=int, default=2048, help="GLU size, a multiple of 4")
    parser.add_argument("--ctx", type=int, default=1024, help="tokens in a sequence")
    parser.add_argument("--batch", type=int, default=32, help="sequences in a step, on each GPU")
    parser.add_argument("--lr", type=float, default=3.5e-3)
    parser.add_argument("--budget", type=float, default=1400, help="seconds of training, in all sittings")
    parser.add_argument(
        "--sitting", type=float, default=math.inf, help="seconds after which this sitting ends, compiling included"
    )
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu is for the smoke test only")
    return parser.parse_args(argv)


class Log:
    """Lines with the seconds since the start; silent in all processes but the first."""

    def __init__(self, speaks: bool) -> None:
        self.start = time.monotonic()
        self.speaks = speaks

    def __call__(self, *parts: object) -> None:
        if self.speaks:
            print(f"[{time.monotonic() - self.start:7.1f}]", *parts, flush=True)


def learning_rate(peak: float, step: int, progress: float) -> float:
    """A linear warm-up in steps times a cosine over the whole budget."""
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    share = LAST_LEARNING_RATE_SHARE + (1 - LAST_LEARNING_RATE_SHARE) * cosine
    return peak * min(1.0, (step + 1) / WARM_UP_STEPS) * share


def weight_decay(progress: float) -> float:
    """Of the ternary matrices, in the first half alone: later it would only undo decisions that have been made."""
    return WEIGHT_DECAY if progress < 0.5 else 0.0


def make_optimizer(model: LanguageModel, lr: float, device: str) -> torch.optim.AdamW:
    """Group 0 decays: the ternary matrices. Group 1 does not."""

    def decays(name: str, parameter: torch.Tensor) -> bool:
        return parameter.dim() == 2 and "embeddings" not in name and "lower" not in name

    decaying = [p for n, p in model.named_parameters() if decays(n, p)]
    others = [p for n, p in model.named_parameters() if not decays(n, p)]
    groups = [{"params": decaying, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), eps=1e-8, fused=device != "cpu")


@torch.no_grad()
def evaluate(model: LanguageModel, stream: TokenStream, context: int) -> float:
    """Mean loss in nats on the first windows of a held-out stream; NaN when it is too short for one."""
    count = min(MAX_EVALUATED_WINDOWS, (len(stream.tokens) - 1) // context)
    if count < 1:
        return math.nan
    windows = torch.stack([stream.tokens[i * context : i * context + context + 1] for i in range(count)])
    total = 0.0
    for part in windows.split(EVALUATED_AT_ONCE):
        logits = model(part[:, :-1]).float().view(-1, model.vocabulary_size)
        total += float(F.cross_entropy(logits, part[:, 1:].reshape(-1).long())) * len(part)
    return total / count


def evaluate_all(model: LanguageModel, streams: dict[str, TokenStream], step: int, context: int) -> CurvePoint:
    text, dialogue, conversations = (evaluate(model, streams[kind], context) for kind in HELD_KINDS)
    return (step, text, dialogue, conversations)


class Training:
    """A model with what its training needs, at a position."""

    def __init__(self, args: argparse.Namespace, processes: Processes, tokenizer: Tokenizer, log: Log):
        self.args = args
        self.processes = processes
        self.log = log
        self.shape = ModelShape(tokenizer.get_vocab_size(), args.hidden, args.layers, args.inter)
        # The same weights in all processes: the seed is the same until the batches are drawn.
        torch.manual_seed(SEED)
        self.model = LanguageModel(self.shape, tokenizer.token_to_id(BOS)).to(processes.device)
        self.parameters = list(self.model.parameters())
        self.optimizer = make_optimizer(self.model, args.lr, args.device)
        self.streams = load_streams(args.tokens, tokenizer, processes.device)
        self.checkpoint = Path(args.work) / "checkpoint.pt"
        self.position = load_checkpoint(self.checkpoint, self.model, self.optimizer, processes.device)
        # A sitting that goes on draws other batches than the one before it, every process its own.
        seed = 1000 * self.position.step + processes.rank
        self.batches = Batches(self.streams, args.batch, args.ctx, seed)
        self.loss = torch.compile(self.model.loss) if args.device == "cuda" else self.model.loss

    @property
    def tokens_per_step(self) -> int:
        return self.args.batch * self.args.ctx * self.processes.count

    def warm_up_compiler(self) -> None:
        for _ in range(3):
            self.backward(0.0)
            self.optimizer.zero_grad(set_to_none=True)
        self.processes.wait()
        self.log("compiled")

    def backward(self, progress: float) -> torch.Tensor:
        """Gradients of one batch, averaged over all processes; returns this process's loss."""
        batch = self.batches.draw(progress)
        loss = self.loss(batch.inputs, batch.targets, batch.weights)
        loss.backward()
        self.processes.average_gradients(self.parameters)
        return loss

    def step(self, progress: float) -> None:
        lr = learning_rate(self.args.lr, self.position.step, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.param_groups[0]["weight_decay"] = weight_decay(progress)
        loss = self.backward(progress)
        gradient_norm = torch.nn.utils.clip_grad_norm_(self.parameters, MAX_GRADIENT_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.position.step % STEPS_BETWEEN_LOG_LINES == 0:
            at = f"step {self.position.step} progress {progress:.3f}"
            self.log(f"{at} loss {loss.item():.3f} gradient {float(gradient_norm):.2f} learning rate {lr:.2e}")
        self.position.step += 1

    def run(self) -> None:
        """Until the budget or the sitting is over."""
        before, started = self.position.spent_seconds, time.monotonic()
        first_step = self.position.step
        progress = before / self.args.budget
        while progress < 1.0:
            # All processes leave the loop at the same step, or the others would wait for ever.
            if self.position.step % STEPS_BETWEEN_CLOCK_READINGS == 0:
                now = time.monotonic()
                sitting_is_over = now - self.log.start > self.args.sitting
                spent, is_over = self.processes.told_by_first([before + now - started, float(sitting_is_over)])
                self.position.spent_seconds = spent
                progress = min(1.0, spent / self.args.budget)
                if progress >= 1.0 or is_over:
                    break
            self.step(progress)
            if self.position.step % STEPS_BETWEEN_EVALUATIONS == 0:
                self.add_to_curve()
        made = self.position.step - first_step
        rate = made * self.tokens_per_step / max(time.monotonic() - started, 1e-9)
        self.log(f"{made} steps, {rate / 1e3:.0f} thousand tokens a second")

    def add_to_curve(self) -> None:
        if not self.processes.is_first:
            return
        point = evaluate_all(self.model, self.streams, self.position.step, self.args.ctx)
        self.position.curve.append(point)
        self.log("held out: text {:.4f} dialogue {:.4f} conversations {:.4f}".format(*point[1:]))


def export(training: Training, tokenizer: Tokenizer) -> None:
    """Packed weights, config.json, tokenizer.json and report.json into work/out."""
    args, position, model = training.args, training.position, training.model
    out = Path(args.work) / "out"
    out.mkdir(exist_ok=True)
    export_packed(model, str(out / "model.packed.safetensors"))
    bos, end, pad = (tokenizer.token_to_id(token) for token in (BOS, END, PAD))
    write_config(str(out / "config.json"), training.shape, args.ctx, bos, end, pad)
    tokenizer.save(str(out / "tokenizer.json"))
    samples = {question: reply(model, tokenizer, question) for question in QUESTIONS}
    for question, text in samples.items():
        training.log("---", question, "->", text)
    report = {
        "arguments": {name: value for name, value in vars(args).items() if value != math.inf},
        "processes": training.processes.count,
        "parameters": sum(parameter.numel() for parameter in training.parameters),
        "steps": position.step,
        "tokens": position.step * training.tokens_per_step,
        "seconds": position.spent_seconds,
        "curve": position.curve,
        "samples": samples,
    }
    (out / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")


def main(argv: list[str] | None = None) -> Position:
    args = parse_arguments(argv)
    torch.set_float32_matmul_precision("high")
    Path(args.work).mkdir(parents=True, exist_ok=True)
    with Processes(args.device) as processes:
        log = Log(processes.is_first)
        tokenizer = Tokenizer.from_file(f"{args.tokens}/tokenizer.json")
        training = Training(args, processes, tokenizer, log)
        position = training.position
        log(f"step {position.step}, {position.spent_seconds:.0f} of {args.budget:.0f} seconds spent")
        training.warm_up_compiler()
        training.run()
        training.add_to_curve()
        if processes.is_first:
            save_checkpoint(training.checkpoint, training.model, training.optimizer, position)
            export(training, tokenizer)
            log("saved")
        return position


if __name__ == "__main__":
    main()
