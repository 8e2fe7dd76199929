"""The corpus as token arrays, once, before the training: a few minutes on a CPU.

    python -m tern_training.prepare corpus tokens

Writes one uint16 array for each kind of document (`text.npy`, `dialogue.npy`, `conversations.npy`, and `held_` before
each for the part that is kept out), documents end to end, and `tokenizer.json`: the corpus's own where it has one, else
trained on it.
"""

import argparse
import os

import numpy as np
from tokenizers import Tokenizer

from .data import load_corpus
from .tokenizer import encode_documents, train_tokenizer

SEED = 0
KINDS = ("text", "dialogue", "conversations")
HELD_KINDS = tuple(f"held_{kind}" for kind in KINDS)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="folder of the corpus (data.py); a tokenizer.json in it is used as it is")
    parser.add_argument("tokens", help="folder for the arrays and the tokenizer")
    parser.add_argument("--vocab", type=int, default=8192, help="of a tokenizer that is trained; at most 65,536")
    args = parser.parse_args(argv)
    os.makedirs(args.tokens, exist_ok=True)

    corpus = load_corpus(args.corpus, SEED)
    print(f"{corpus.dropped} conversations dropped that ask a prompt of an evaluation", flush=True)
    given = f"{args.corpus}/tokenizer.json"
    tokenizer = Tokenizer.from_file(given) if os.path.exists(given) else train_tokenizer(corpus, args.vocab)
    tokenizer.save(f"{args.tokens}/tokenizer.json")
    for kind in (*KINDS, *HELD_KINDS):
        documents = getattr(corpus, kind)
        tokens = np.concatenate([np.zeros(0, np.uint16), *encode_documents(tokenizer, documents)])
        np.save(f"{args.tokens}/{kind}.npy", tokens)
        print(f"{kind}: {len(documents)} documents, {len(tokens)} tokens", flush=True)


if __name__ == "__main__":
    main()
