"""A tiny model through the whole recipe on a CPU: identity, tokenizer, 30 steps, export, GGUF where gguf-py is there.

    python tests/smoke.py

Exit code 0 also where PyTorch or tokenizers are not installed: then it says that it was skipped, and why.
"""

import importlib.util
import json
import math
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def write_corpus(folder: Path) -> None:
    from tern_training import identity

    identity.main([str(folder / "identity.jsonl")])
    rows = [json.loads(line) for line in (folder / "identity.jsonl").read_text().splitlines()]
    with open(folder / "dialogue.jsonl", "w") as file:
        file.writelines(json.dumps({"source": "smoke", "messages": row["messages"]}) + "\n" for row in rows)
    with open(folder / "text.jsonl", "w") as file:
        for row in rows:
            text = " ".join(message["content"] for message in row["messages"])
            file.write(json.dumps({"source": "smoke", "text": text}) + "\n")


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


def main() -> None:
    missing = [name for name in ("torch", "tokenizers", "numpy") if not is_installed(name)]
    if missing:
        print(f"skipped: not installed: {', '.join(missing)}")
        return
    from tern_training import train

    check_scan_gradient()
    with tempfile.TemporaryDirectory() as name:
        corpus, out = Path(name) / "corpus", Path(name) / "out"
        corpus.mkdir()
        write_corpus(corpus)
        sizes = ["--hidden", "256", "--layers", "2", "--inter", "256", "--vocab", "600", "--ctx", "64", "--batch", "8"]
        train.main(["--data", str(corpus), "--out", str(out), "--device", "cpu", "--smoke", *sizes])
        report = json.loads((out / "report.json").read_text())
        # 30 steps learn something: far below a uniform guess.
        assert report["val_chat"] < math.log(600) - 0.5, report["val_chat"]
        assert report["steps"] == 30, report["steps"]
        if not is_installed("gguf") or not is_installed("safetensors"):
            print("GGUF skipped: gguf or safetensors is not installed")
        else:
            from tern_training import gguf_file

            gguf_file.main([str(out), str(out / "smoke.gguf")])
            assert (out / "smoke.gguf").read_bytes()[:4] == b"GGUF"
    print("passed")


if __name__ == "__main__":
    main()
