"""The corpus: JSON lines in a folder, weighted by source, held-out parts set aside, evaluation prompts taken out.

Files, plain or .xz, read in order of their names:

* `text*.jsonl` with {"source", "text"}: public text; `plain*.jsonl`, the same, written for the model;
* `dialogue*.jsonl` with {"source", "messages"}: public dialogue and instructions;
* `conversations*.jsonl` and `identity*.jsonl` (identity.py) with {"messages"}: written for the model;
* `eval*.json`: prompts of evaluations, as models/eval100.json. What they ask in one turn is taken out of the rest.

Downloads nothing. The order of the lines matters: it decides what is held out.
"""

import glob
import json
import lzma
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .chat_format import Message, chat_text
from .perturbations import join_and_perturb

Row = dict[str, Any]

# Every so many documents of a kind, one is held out.
HELD_OUT_EVERY_PUBLIC = 97
HELD_OUT_EVERY_CONVERSATION = 211
# Held-out documents that are kept, after shuffling.
MAX_HELD_TEXTS, MAX_HELD_DIALOGUES, MAX_HELD_CONVERSATIONS = 400, 1500, 2000

PLAIN_TEXT_PASSES = 2
# Passes over the conversations written for the model, each in another wording of the user's side.
CONVERSATION_PASSES = 3

# How often a document of a source is shown, beside its size; a source is matched by the beginning of its name.
SOURCE_WEIGHTS = {
    "openstax": 2,
    "tinystories": 4,
    "stories": 3,
    "fairytaleqa": 2,
    "dolly-15k": 4,
    "story-request": 3,
    "synthetic-persona-chat": 2,
    "oasst": 4,
    "chatterbot": 2,
    "personality": 2,
    "tutorchatbot": 3,
}

# The share of a source's dialogues that is shown: those that teach other manners than ours are thinned.
SOURCE_SHARES = {
    "self-dialogue": 0.3,
    "sgd": 0.4,
    "natural-instructions": 0.6,
    "medquad": 0.6,
    "casino": 0.0,
    "taskmaster": 0.3,
    "topical-chat": 0.4,
    "gsm8k": 0.5,
    "strategyqa": 0.5,
}


@dataclass
class Corpus:
    """Documents as text, weighted and shuffled; `dropped` counts conversations that ask an evaluation's prompt."""

    text: list[str]
    dialogue: list[str]
    conversations: list[str]
    held_text: list[str]
    held_dialogue: list[str]
    held_conversations: list[str]
    dropped: int


def of_source(source: str, values: dict[str, Any], default: Any) -> Any:
    """The value of the first entry with whose name the source's begins."""
    return next((value for start, value in values.items() if source.lower().startswith(start)), default)


def read_rows(folder: str, kind: str) -> Iterator[Row]:
    """All rows of `{kind}*.jsonl` and `{kind}*.jsonl.xz`, files in order of their names."""
    for path in sorted(glob.glob(f"{folder}/{kind}*.jsonl*")):
        open_file = lzma.open if path.endswith(".xz") else open
        with open_file(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    yield json.loads(line)


def normalized(text: str) -> str:
    """What two spellings of a question have in common: letters and digits, in lower case."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def evaluation_prompts(folder: str) -> set[str]:
    """The single-turn prompts of `eval*.json`, normalized."""
    prompts = set()
    for path in sorted(glob.glob(f"{folder}/eval*.json")):
        with open(path, encoding="utf-8") as file:
            turns = [prompt["turns"] for prompt in json.load(file)["prompts"]]
        prompts |= {normalized(prompt[0]) for prompt in turns if len(prompt) == 1}
    return prompts


def asks_one_of(messages: list[Message], prompts: set[str]) -> bool:
    return any(message["role"] == "user" and normalized(message["content"]) in prompts for message in messages)


def load_corpus(folder: str, seed: int) -> Corpus:
    """Reads the whole corpus into memory (a few GB). The same seed and files give the same corpus."""
    generator = random.Random(seed)
    prompts = evaluation_prompts(folder)
    corpus = Corpus([], [], [], [], [], [], dropped=0)

    for index, row in enumerate(read_rows(folder, "text")):
        if index % HELD_OUT_EVERY_PUBLIC == 0:
            corpus.held_text.append(row["text"])
        else:
            corpus.text += [row["text"]] * of_source(row["source"], SOURCE_WEIGHTS, 1)
    corpus.text += [row["text"] for row in read_rows(folder, "plain")] * PLAIN_TEXT_PASSES

    for index, row in enumerate(read_rows(folder, "dialogue")):
        if index % HELD_OUT_EVERY_PUBLIC == 0:
            corpus.held_dialogue.append(chat_text(row["messages"]))
        elif asks_one_of(row["messages"], prompts):
            corpus.dropped += 1
        elif generator.random() < of_source(row["source"], SOURCE_SHARES, 1.0):
            corpus.dialogue += [chat_text(row["messages"])] * of_source(row["source"], SOURCE_WEIGHTS, 1)

    ours: list[list[Message]] = []
    for kind in ("conversations", "identity"):
        for index, row in enumerate(read_rows(folder, kind)):
            if asks_one_of(row["messages"], prompts):
                corpus.dropped += 1
            elif index % HELD_OUT_EVERY_CONVERSATION == 0:
                corpus.held_conversations.append(chat_text(row["messages"]))
            else:
                ours.append(row["messages"])
    for _ in range(CONVERSATION_PASSES):
        corpus.conversations += map(chat_text, join_and_perturb(ours, generator))

    for documents in (
        corpus.text,
        corpus.dialogue,
        corpus.conversations,
        corpus.held_text,
        corpus.held_dialogue,
        corpus.held_conversations,
    ):
        generator.shuffle(documents)
    del corpus.held_text[MAX_HELD_TEXTS:]
    del corpus.held_dialogue[MAX_HELD_DIALOGUES:]
    del corpus.held_conversations[MAX_HELD_CONVERSATIONS:]
    return corpus
