"""Trains the model on one GPU inside a fixed wall-clock budget, and exports it.

The paper's recipe (straight-through estimator, large learning rate, cosine schedule) with a warm-up and decoupled
weight decay. The number of steps is fitted to the clock: the same command on another machine makes another model.

    python -m tern_training.train --data corpus --out out
"""

import argparse
import json
import math
import os
import random
import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from .chat_format import BOS, END, PAD
from .data import load_corpus
from .export import export_packed, write_config
from .model import LanguageModel, ModelShape
from .samples import PROMPTS, sample
from .tokenizer import encode_documents, train_tokenizer

SEED = 0
CHAT_SHARE_START = 0.35
WEIGHT_DECAY = 0.05
IDENTITY_REPEATS = 3
SMOKE_STEPS = 30
# What a step costs beside forward and backward: the optimiser.
PACE_ALLOWANCE = 1.06


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", default="corpus", help="folder of the corpus; a tokenizer.json in it is used as it is"
    )
    parser.add_argument("--out", default="out", help="folder for the results")
    parser.add_argument("--hidden", type=int, default=768, help="a multiple of 64")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--inter", type=int, default=2048, help="GLU size, a multiple of 4")
    parser.add_argument("--vocab", type=int, default=8192, help="at most 65,536")
    parser.add_argument("--ctx", type=int, default=1024, help="tokens in a sequence")
    parser.add_argument("--batch", type=int, default=64, help="sequences in a step")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seconds", type=float, default=1330, help="wall-clock budget, reading the corpus included")
    parser.add_argument("--chat-share-end", type=float, default=0.7, help="share of chat in the last batches")
    parser.add_argument("--smoke", action="store_true", help=f"{SMOKE_STEPS} steps whatever the clock says")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu is for the smoke test only")
    return parser.parse_args(argv)


class Log:
    """Lines with the seconds since the start."""

    def __init__(self) -> None:
        self.start = time.time()

    def seconds(self) -> float:
        return time.time() - self.start

    def __call__(self, *parts: object) -> None:
        print(f"[{self.seconds():7.1f}]", *parts, flush=True)


@dataclass
class TokenStreams:
    """Documents end to end, int32, on the training device."""

    text: torch.Tensor
    chat: torch.Tensor
    held_text: torch.Tensor
    held_chat: torch.Tensor


def prepare(args: argparse.Namespace, log: Log) -> tuple[Tokenizer, TokenStreams]:
    """Corpus and tokenizer; trains the tokenizer where the corpus folder has none. Writes out/tokenizer.json."""
    corpus = load_corpus(args.data)
    log(
        f"text {len(corpus.text)} docs {sum(map(len, corpus.text)) / 1e6:.1f} MB, "
        f"chats {len(corpus.chat)} {sum(map(len, corpus.chat)) / 1e6:.1f} MB, identity {len(corpus.identity)}"
    )
    tokenizer_path = f"{args.data}/tokenizer.json"
    if os.path.exists(tokenizer_path):
        tokenizer = Tokenizer.from_file(tokenizer_path)
    else:
        tokenizer = train_tokenizer(corpus, args.vocab)
    tokenizer.save(f"{args.out}/tokenizer.json")
    log("tokenizer", tokenizer.get_vocab_size())

    def stream(encoded: list[np.ndarray]) -> torch.Tensor:
        if not encoded:
            return torch.zeros(0, dtype=torch.int32, device=args.device)
        return torch.from_numpy(np.concatenate(encoded).astype(np.int32)).to(args.device)

    text = encode_documents(tokenizer, corpus.text)
    chat = encode_documents(tokenizer, corpus.chat)
    identity = encode_documents(tokenizer, corpus.identity)
    held_text = stream(encode_documents(tokenizer, corpus.held_text[:400]))
    held_chat = stream(encode_documents(tokenizer, corpus.held_chat[:1500]))
    chat = chat + identity * IDENTITY_REPEATS
    random.shuffle(chat)
    streams = TokenStreams(stream(text), stream(chat), held_text, held_chat)
    log(
        f"tokens: text {len(streams.text) / 1e6:.1f}M chat {len(streams.chat) / 1e6:.1f}M, "
        f"held out {len(held_text)} {len(held_chat)}"
    )
    return tokenizer, streams


class Batches:
    """Random windows of the streams; the share of chat rises from 0.35 in the last 70 % of the run."""

    def __init__(self, streams: TokenStreams, args: argparse.Namespace):
        self.streams = streams
        self.args = args

    def draw(self, progress: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets, each [batch, ctx]; `progress` is 0..1."""
        args, streams = self.args, self.streams
        share = CHAT_SHARE_START + (args.chat_share_end - CHAT_SHARE_START) * max(0.0, (progress - 0.3) / 0.7)
        chat_count = int(args.batch * share) if len(streams.chat) > args.ctx + 1 else 0
        if len(streams.text) <= args.ctx + 1:
            chat_count = args.batch
        parts = []
        for stream, count in ((streams.chat, chat_count), (streams.text, args.batch - chat_count)):
            if count:
                starts = torch.randint(0, len(stream) - args.ctx - 1, (count,), device=args.device)
                parts.append(stream[starts[:, None] + torch.arange(args.ctx + 1, device=args.device)])
        batch = torch.cat(parts)
        return batch[:, :-1].contiguous(), batch[:, 1:].contiguous()


@torch.no_grad()
def evaluate(model: LanguageModel, stream: torch.Tensor, context_length: int) -> float:
    """Mean loss in nats on the first 32 windows of a held-out stream; NaN when it is too short for one."""
    count = min(32, (len(stream) - 1) // context_length)
    if count < 1:
        return float("nan")
    windows = torch.stack([stream[i * context_length : i * context_length + context_length + 1] for i in range(count)])
    total = 0.0
    for start in range(0, count, 8):
        part = windows[start : start + 8]
        logits = model(part[:, :-1]).float().view(-1, model.vocabulary_size)
        total += F.cross_entropy(logits, part[:, 1:].reshape(-1).long()) * len(part)
    return float(total / count)


def make_optimizer(model: LanguageModel, lr: float, device: str) -> torch.optim.AdamW:
    """Group 0 decays: the ternary matrices. Group 1 does not."""

    def decays(name: str, parameter: torch.Tensor) -> bool:
        return parameter.dim() == 2 and "embeddings" not in name and "lower" not in name

    decaying = [p for n, p in model.named_parameters() if decays(n, p)]
    others = [p for n, p in model.named_parameters() if not decays(n, p)]
    groups = [{"params": decaying, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), eps=1e-8, fused=device == "cuda")


def train(model: LanguageModel, streams: TokenStreams, args: argparse.Namespace, log: Log) -> tuple[int, list]:
    """Trains in place. Returns the steps made and the curve: (step, held text loss, held chat loss)."""
    step_loss = torch.compile(model.loss) if args.device == "cuda" else model.loss
    optimizer = make_optimizer(model, args.lr, args.device)
    batches = Batches(streams, args)
    parameter_count = sum(p.numel() for p in model.parameters())

    def synchronize() -> None:
        if args.device == "cuda":
            torch.cuda.synchronize()

    def try_steps(count: int) -> None:
        for _ in range(count):
            step_loss(*batches.draw(0)).backward()
            optimizer.zero_grad(set_to_none=True)
        synchronize()

    # Warm up the compiler, then measure the pace and fit the schedule to the clock.
    try_steps(3)
    log("compiled")
    measured_from = time.time()
    try_steps(6)
    pace = (time.time() - measured_from) / 6 * PACE_ALLOWANCE
    steps = SMOKE_STEPS if args.smoke else max(100, int((args.seconds - log.seconds()) / pace))
    tokens_per_step = args.batch * args.ctx
    log(
        f"{pace * 1e3:.1f} ms/step, {tokens_per_step / pace / 1e3:.0f}k tok/s, "
        f"{6 * parameter_count * tokens_per_step / pace / 1e12:.0f} TFLOP/s, {steps} steps, "
        f"{steps * tokens_per_step / 1e6:.0f}M tokens"
    )
    warm_up = max(20, int(0.02 * steps))
    curve = []
    started = time.time()
    step = 0
    while step < steps:
        progress = step / steps
        if step == int(steps * 0.1) and not args.smoke:
            # Fit again, to the pace of real steps.
            synchronize()
            real = (time.time() - started) / max(1, step)
            steps = max(step + 50, int(step + (args.seconds - log.seconds()) / (real * 1.01)))
            log("re-fit steps", steps)
        cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))
        lr = args.lr * min(1, (step + 1) / warm_up) * cosine
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.param_groups[0]["weight_decay"] = WEIGHT_DECAY if progress < 0.5 else 0.0
        loss = step_loss(*batches.draw(progress))
        loss.backward()
        gradient_norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 100 == 0 or step == steps - 1:
            log(f"step {step}/{steps} loss {loss.item():.3f} gn {float(gradient_norm):.2f} lr {lr:.2e}")
        if step % 1000 == 0 and step:
            point = (step, evaluate(model, streams.held_text, args.ctx), evaluate(model, streams.held_chat, args.ctx))
            curve.append(point)
            log(f"held out: text {point[1]:.3f} chat {point[2]:.3f}")
        step += 1
        if log.seconds() > args.seconds + 20:
            log("out of time")
            break
    return step, curve


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    os.makedirs(args.out, exist_ok=True)
    log = Log()
    torch.manual_seed(SEED)
    random.seed(SEED)
    np.random.seed(SEED)
    torch.set_float32_matmul_precision("high")

    tokenizer, streams = prepare(args, log)
    bos = tokenizer.token_to_id(BOS)
    shape = ModelShape(tokenizer.get_vocab_size(), args.hidden, args.layers, args.inter)
    model = LanguageModel(shape, bos).to(args.device)
    parameter_count = sum(p.numel() for p in model.parameters())
    log(f"parameters {parameter_count / 1e6:.1f}M")

    steps, curve = train(model, streams, args, log)
    held_text = evaluate(model, streams.held_text, args.ctx)
    held_chat = evaluate(model, streams.held_chat, args.ctx)
    log(f"final: held text {held_text:.4f} chat {held_chat:.4f}")

    export_packed(model, f"{args.out}/model.packed.safetensors")
    end, pad = tokenizer.token_to_id(END), tokenizer.token_to_id(PAD)
    write_config(f"{args.out}/config.json", shape, args.ctx, bos, end, pad)
    samples = [sample(model, tokenizer, prompt, args.ctx) for prompt in PROMPTS]
    for text in samples:
        log("---", text)
    report = {
        "args": vars(args),
        "parameters": parameter_count,
        "steps": steps,
        "tokens": steps * args.batch * args.ctx,
        "val_text": held_text,
        "val_chat": held_chat,
        "curve": curve,
        "seconds": log.seconds(),
        "samples": samples,
    }
    with open(f"{args.out}/report.json", "w") as file:
        json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
