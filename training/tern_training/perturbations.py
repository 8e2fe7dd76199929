"""The conversations written for the model as people type them: carelessly, and one topic after another."""

import random

from .chat_format import Message

# How many conversations are joined into one document, and how often.
JOINED_COUNTS, JOINED_SHARES = (1, 2, 3, 4), (0.55, 0.25, 0.12, 0.08)

SYSTEM_MESSAGE_SHARE = 0.06
SYSTEM_MESSAGES = [
    "You are a helpful assistant.",
    "You are Tern, a small and friendly assistant.",
    "Answer briefly.",
    "Be kind and clear.",
    "You are a helpful, honest assistant. Keep answers short.",
]


def perturb(text: str, generator: random.Random) -> str:
    """A user's message: a third in lower case, without its last mark, or with a word or a space more."""
    draw = generator.random()
    if draw < 0.12:
        return text.lower()
    if draw < 0.18:
        return text.lower().rstrip(".?!")
    if draw < 0.26:
        return text.rstrip(".?!")
    if draw < 0.29:
        return f"{text} "
    if draw < 0.31:
        # A sentence that begins with I keeps its capital.
        return text if text.startswith("I") else f"Hey, {text[:1].lower()}{text[1:]}"
    if draw < 0.33 and text.endswith((".", "?")):
        return f"{text} Thanks!"
    return text


def join_and_perturb(conversations: list[list[Message]], generator: random.Random) -> list[list[Message]]:
    """One pass over all conversations in a new order, each once. The assistant's words are never changed."""
    order = generator.sample(conversations, len(conversations))
    documents, start = [], 0
    while start < len(order):
        count = generator.choices(JOINED_COUNTS, JOINED_SHARES)[0]
        document = [worded(message, generator) for messages in order[start : start + count] for message in messages]
        start += count
        if generator.random() < SYSTEM_MESSAGE_SHARE and document[0]["role"] != "system":
            document.insert(0, {"role": "system", "content": generator.choice(SYSTEM_MESSAGES)})
        documents.append(document)
    return documents


def worded(message: Message, generator: random.Random) -> Message:
    if message["role"] != "user":
        return message
    return {"role": "user", "content": perturb(message["content"], generator)}
