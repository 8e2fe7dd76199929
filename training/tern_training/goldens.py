"""Golden values of the trained model from the published implementation, in float32 on a GPU.

    python -m tern_training.goldens out --implementation path/to/matmulfreellm

Writes golden.json (eight prompts, greedy text, the margin of every choice), golden.safetensors (ids and logits of every
prompt with its reply) and tokenizer-golden.json into the checkpoint's folder. The published implementation (Apache-2.0,
github.com/ridgerchu/matmulfreellm, commit a016f72) is used as it is, but for one attribute that recent transformers
want as a mapping.
"""

import argparse
import json
import sys

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from .chat_format import BOS, END, EOS, user_prompt

MAX_TOKENS = 64

PROMPTS = [
    user_prompt("Hello! How are you today?"),
    user_prompt("Who are you?"),
    "Once upon a time there was a little girl who",
    user_prompt("Tell me a short story about a fox and a rabbit."),
    user_prompt("What is photosynthesis?"),
    "The history of the city begins",
    user_prompt("Where are my messages stored?"),
    user_prompt("What can I cook with eggs and rice?"),
]

TOKENIZER_CASES = [
    "Hello, world!",
    " leading space",
    "trailing space ",
    "two  spaces",
    "a\nb\n\nc",
    "tabs\tand\r\nCRLF",
    "It costs $12.50, or 1,000,000!",
    "naïve café façade",
    "日本語のテキスト",
    "emoji 🙂👍🏽 end",
    "don't can't I'll",
    "UPPER lower MiXeD",
    "http://example.org/a?b=c&d=1",
    "<|user|>\nHi<|end|>\n<|assistant|>\n",
    "<s></s>",
    "x=1;y=2;{[(<>)]}",
    "\u00a0nbsp\u200bzero",
    "e\u0301 combining",
    "",
    " ",
    "\n",
    "the " * 20,
    "a" * 300,
]


def unpack_weights(packed: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Float weights that the published quantiser turns into the same codes and scale again."""
    weights = {}
    for name, value in packed.items():
        if name.endswith("_scale"):
            continue
        if f"{name}_scale" not in packed:
            weights[name] = value.float()
            continue
        codes = torch.stack([(value >> shift) & 3 for shift in (0, 2, 4, 6)], -1).reshape(value.shape[0], -1)
        ternary = codes.float() - 1
        # So that the mean of |W| over the whole matrix is the scale.
        nonzero_share = (ternary != 0).double().mean()
        weights[name] = (ternary.double() * (packed[f"{name}_scale"].double() / nonzero_share)).float()
    return weights


def load_published_model(checkpoint: str, implementation: str) -> torch.nn.Module:
    sys.path.insert(0, implementation)
    import mmfreelm  # noqa: F401  (registers the architecture)
    from mmfreelm.models import HGRNBitConfig, HGRNBitForCausalLM

    HGRNBitForCausalLM._tied_weights_keys = {"lm_head.weight": "model.embeddings.weight"}
    with open(f"{checkpoint}/config.json") as file:
        config = json.load(file)
    for key in ("architectures", "model_type", "torch_dtype"):
        config.pop(key)
    model = HGRNBitForCausalLM(HGRNBitConfig(**config, fuse_cross_entropy=False))
    print(model.load_state_dict(unpack_weights(load_file(f"{checkpoint}/model.packed.safetensors")), strict=False))
    return model.float().cuda().eval()


@torch.no_grad()
def all_logits(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    """[T, V] float32, one pass."""
    return model(torch.tensor([ids]).cuda(), use_cache=False, return_dict=True).logits[0].float()


def greedy(model: torch.nn.Module, ids: list[int], ends: set[int]) -> tuple[list[int], list[float]]:
    """The prompt and its greedy continuation; the margin of the two best logits at every choice, the last included."""
    ids, margins = list(ids), []
    for _ in range(MAX_TOKENS):
        logits = all_logits(model, ids)[-1]
        best = logits.topk(2).values
        margins.append(float(best[0] - best[1]))
        token = int(logits.argmax())
        if token in ends:
            break
        ids.append(token)
    return ids, margins


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="folder that the training wrote; the goldens go there too")
    parser.add_argument("--implementation", required=True, help="folder that holds the package mmfreelm")
    args = parser.parse_args(argv)
    torch.backends.cuda.matmul.allow_tf32 = False
    tokenizer = Tokenizer.from_file(f"{args.checkpoint}/tokenizer.json")
    model = load_published_model(args.checkpoint, args.implementation)
    bos = tokenizer.token_to_id(BOS)
    ends = {tokenizer.token_to_id(EOS), tokenizer.token_to_id(END)}

    tensors, replies = {}, []
    for index, prompt in enumerate(PROMPTS):
        prompt_ids = [bos, *tokenizer.encode(prompt, add_special_tokens=False).ids]
        ids, margins = greedy(model, prompt_ids, ends)
        tensors[f"ids_{index}"] = torch.tensor(ids, dtype=torch.int32)
        tensors[f"logits_{index}"] = all_logits(model, ids).cpu().half()
        reply = tokenizer.decode(ids[len(prompt_ids) :], skip_special_tokens=False)
        replies.append(
            {
                "prompt": prompt,
                "prompt_tokens": len(prompt_ids),
                "greedy": reply,
                "min_margin": min(margins),
                "margins": [round(margin, 4) for margin in margins],
            }
        )
        print(index, repr(reply)[:300], f"min margin {min(margins):.4f}", flush=True)
    save_file(tensors, f"{args.checkpoint}/golden.safetensors")
    with open(f"{args.checkpoint}/golden.json", "w", encoding="utf-8") as file:
        json.dump(replies, file, indent=1, ensure_ascii=False)

    cases = []
    for text in TOKENIZER_CASES:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)})
    with open(f"{args.checkpoint}/tokenizer-golden.json", "w", encoding="utf-8") as file:
        json.dump(cases, file, indent=1, ensure_ascii=False)


if __name__ == "__main__":
    main()
