"""The corpus: JSON lines in a folder, weighted by source, split into training and held-out documents.

Files, plain or .xz: `text*.jsonl` with {"source", "text"}, `dialogue*.jsonl` with {"source", "messages"}, and
`identity*.jsonl` (see identity.py) with {"messages"}. Order within the files matters: every 97th document of a kind is
held out. Downloads nothing.
"""

import glob
import json
import lzma
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .chat_format import chat_text

Row = dict[str, Any]

HELD_OUT_EVERY = 97

# How often a source is shown, beside its size; a source is matched by the beginning of its name.
SOURCE_WEIGHTS = {
    "openstax": 2,
    "tinystories": 4,
    "stories": 3,
    "fairytaleqa": 2,
    "dolly-15k": 3,
    "story-request": 4,
    "synthetic-persona-chat": 3,
    "oasst": 3,
    "chatterbot": 3,
    "personality": 3,
    "tutorchatbot": 2,
    "topical-chat": 1,
    "self-dialogue": 1,
}


@dataclass
class Corpus:
    """Documents as text. Training documents are repeated by weight and shuffled; identity is not shuffled."""

    text: list[str]
    chat: list[str]
    identity: list[str]
    held_text: list[str]
    held_chat: list[str]


def source_weight(source: str) -> int:
    """How often a document of this source enters the training set."""
    for beginning, weight in SOURCE_WEIGHTS.items():
        if source.lower().startswith(beginning):
            return weight
    return 1


def read_rows(folder: str, kind: str) -> Iterator[Row]:
    """All rows of `{kind}*.jsonl` and `{kind}*.jsonl.xz`, files in order of their names."""
    for path in sorted(glob.glob(f"{folder}/{kind}*.jsonl*")):
        open_file = lzma.open if path.endswith(".xz") else open
        with open_file(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)


def split_weighted(rows: Iterator[Row], to_text: Callable[[Row], str]) -> tuple[list[str], list[str]]:
    """(held out, training), each shuffled by the global generator of `random`."""
    held: list[str] = []
    training: list[str] = []
    for index, row in enumerate(rows):
        document = to_text(row)
        if index % HELD_OUT_EVERY == 0:
            held.append(document)
        else:
            training += [document] * source_weight(row["source"])
    random.shuffle(held)
    random.shuffle(training)
    return held, training


def load_corpus(folder: str) -> Corpus:
    """Reads the whole corpus into memory (a few hundred MB)."""
    held_text, text = split_weighted(read_rows(folder, "text"), lambda row: row["text"])
    held_chat, chat = split_weighted(read_rows(folder, "dialogue"), lambda row: chat_text(row["messages"]))
    identity = [chat_text(row["messages"]) for row in read_rows(folder, "identity")]
    return Corpus(text=text, chat=chat, identity=identity, held_text=held_text, held_chat=held_chat)
