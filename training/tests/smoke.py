"""A tiny model through the whole recipe on a CPU: corpus, tokens, two sittings of two processes, export, GGUF.

    python tests/smoke.py

Exit code 0 also where PyTorch or tokenizers are not installed: then it says that it was skipped, and why. The GGUF
needs gguf-py and safetensors.
"""

import importlib.util
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

TRAINING = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TRAINING))

VOCABULARY = 600
PROMPT = "Who are you?"
# Of training; reading, evaluating and sampling come on top.
BUDGET_SECONDS = 16


def is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def write_lines(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_corpus(folder: Path) -> None:
    from tern_training import identity

    identity.main([str(folder / "identity.jsonl")])
    rows = [json.loads(line) for line in (folder / "identity.jsonl").read_text(encoding="utf-8").splitlines()]
    write_lines(folder / "dialogue.jsonl", [{"source": "smoke", "messages": row["messages"]} for row in rows])
    write_lines(
        folder / "text.jsonl",
        [{"source": "smoke", "text": " ".join(message["content"] for message in row["messages"])} for row in rows],
    )
    write_lines(folder / "plain.jsonl", [{"source": "smoke", "text": "A tern flew over the sea."}] * 3)
    prompts = [{"turns": [PROMPT]}, {"turns": ["What can you do?", "And what not?"]}]
    (folder / "eval.json").write_text(json.dumps({"prompts": prompts}), encoding="utf-8")


def check_scan_gradient() -> None:
    import torch

    from tern_training.scan import Scan

    torch.manual_seed(0)
    x, f = torch.randn(2, 5, 3), torch.rand(2, 5, 3)
    ours, autograd = [], []
    for function, gradients in ((Scan.apply, ours), (naive_scan, autograd)):
        a, b = x.clone().requires_grad_(), f.clone().requires_grad_()
        function(a, b).square().sum().backward()
        gradients += [a.grad, b.grad]
    for mine, expected in zip(ours, autograd, strict=True):
        torch.testing.assert_close(mine, expected)


def naive_scan(x, f):
    import torch

    states, state = [], torch.zeros_like(x[:, 0])
    for t in range(x.shape[1]):
        state = f[:, t] * state + x[:, t]
        states.append(state)
    return torch.stack(states, 1)


def check_corpus(folder: Path) -> None:
    """Evaluation prompts are out, whatever their spelling; every 97th text is held out; sources are weighted."""
    from tern_training import data

    corpus = data.load_corpus(str(folder), seed=0)
    assert corpus == data.load_corpus(str(folder), seed=0)
    shown = [*corpus.dialogue, *corpus.conversations, *corpus.held_conversations]
    assert corpus.dropped > 0
    assert not any("who are you" in data.normalized(document) for document in shown)
    # Of several turns, it may be learned.
    assert any("what can you do" in data.normalized(document) for document in shown)
    texts = len(list(data.read_rows(str(folder), "text")))
    assert len(corpus.held_text) == math.ceil(texts / data.HELD_OUT_EVERY_PUBLIC)
    assert len(corpus.held_text) + len(corpus.text) == texts + 3 * data.PLAIN_TEXT_PASSES
    assert corpus.text.count("A tern flew over the sea.") == 3 * data.PLAIN_TEXT_PASSES
    assert data.of_source("OpenStax/physics", data.SOURCE_WEIGHTS, 1) == 2
    assert data.of_source("casino", data.SOURCE_SHARES, 1.0) == 0.0
    assert data.of_source("anything", data.SOURCE_SHARES, 1.0) == 1.0


def check_perturbations() -> None:
    """Every conversation once, the assistant's words as they were, a third of the user's changed."""
    from tern_training.perturbations import join_and_perturb

    said = [(f"Is {number} Odd?", f"That is {number}.") for number in range(4000)]
    conversations = [
        [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}] for user, assistant in said
    ]
    documents = join_and_perturb(conversations, random.Random(0))
    messages = [message for document in documents for message in document]
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    assert sorted(answers) == sorted(assistant for _, assistant in said)
    questions = {message["content"] for message in messages if message["role"] == "user"}
    unchanged = sum(user in questions for user, _ in said) / len(said)
    # Sentences that begin with I are not greeted: 2 % fewer are changed.
    assert 0.65 < unchanged < 0.73, unchanged
    with_system = sum(document[0]["role"] == "system" for document in documents) / len(documents)
    assert 0.04 < with_system < 0.08, with_system
    assert 1.6 < len(conversations) / len(documents) < 1.85, len(documents)


def check_weights(tokens: Path) -> None:
    """The user's and the system's words count a quarter, the assistant's and plain text whole."""
    import numpy as np
    from tokenizers import Tokenizer

    from tern_training.batches import mixture, said_by_others
    from tern_training.chat_format import chat_text

    tokenizer = Tokenizer.from_file(str(tokens / "tokenizer.json"))
    roles = ("system", "user", "assistant", "user", "assistant")
    conversation = chat_text([{"role": role, "content": f"{role} here"} for role in roles])
    text = f"<s>Plain text.</s><s>{conversation}</s><s>More.</s>"
    ids = np.array(tokenizer.encode(text, add_special_tokens=False).ids)
    quiet = tokenizer.decode(ids[said_by_others(ids, tokenizer)].tolist(), skip_special_tokens=False)
    assert quiet == "<|system|>\nsystem here<|end|>\n" + "<|user|>\nuser here<|end|>\n" * 2, quiet
    for progress, expected in ((0, (0.45, 0.25, 0.3)), (0.45, (0.45, 0.25, 0.3)), (1, (0.12, 0.15, 0.73))):
        assert all(math.isclose(a, b) for a, b in zip(mixture(progress), expected, strict=True)), progress


def train(tokens: Path, work: Path, processes: int, budget: float, sitting: float) -> dict:
    """One sitting in processes of its own; its report."""
    sizes = ["--hidden", "256", "--layers", "2", "--inter", "256", "--ctx", "64", "--batch", "8"]
    clock = ["--budget", str(budget), "--sitting", str(sitting)]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    command = [*launcher, "-m", "tern_training.train", "--tokens", str(tokens), "--work", str(work), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, *sizes, *clock], check=True, cwd=TRAINING, env=environment)
    return json.loads((work / "out" / "report.json").read_text(encoding="utf-8"))


def main() -> None:
    missing = [name for name in ("torch", "tokenizers", "numpy") if not is_installed(name)]
    if missing:
        print(f"skipped: not installed: {', '.join(missing)}")
        return
    from tern_training import prepare

    check_scan_gradient()
    check_perturbations()
    with tempfile.TemporaryDirectory() as name:
        corpus, tokens, work = (Path(name) / part for part in ("corpus", "tokens", "work"))
        corpus.mkdir()
        write_corpus(corpus)
        check_corpus(corpus)
        prepare.main([str(corpus), str(tokens), "--vocab", str(VOCABULARY)])
        check_weights(tokens)

        first = train(tokens, work, processes=2, budget=BUDGET_SECONDS, sitting=5)
        assert 0 < first["seconds"] < BUDGET_SECONDS, first["seconds"]
        second = train(tokens, work, processes=2, budget=BUDGET_SECONDS, sitting=math.inf)
        assert second["steps"] > first["steps"] > 0, (first["steps"], second["steps"])
        assert second["seconds"] >= BUDGET_SECONDS, second["seconds"]
        assert second["curve"][: len(first["curve"])] == first["curve"]
        # It learns, and goes on learning where it stood: far below a uniform guess, and below the first sitting's end.
        held = [report["curve"][-1][3] for report in (first, second)]
        assert held[1] < held[0] and held[1] < math.log(VOCABULARY) - 1, held

        if not is_installed("gguf") or not is_installed("safetensors"):
            print("GGUF skipped: gguf or safetensors is not installed")
        else:
            from tern_training import gguf_file

            gguf_file.main([str(work / "out"), str(work / "smoke.gguf")])
            assert (work / "smoke.gguf").read_bytes()[:4] == b"GGUF"
    print("passed")


if __name__ == "__main__":
    main()
