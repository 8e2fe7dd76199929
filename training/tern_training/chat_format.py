"""The special tokens, and a conversation as one text: the chat template of the exported file in Python."""

from typing import TypedDict

UNKNOWN, BOS, EOS, PAD = "<unk>", "<s>", "</s>", "<pad>"
SYSTEM, USER, ASSISTANT, END = "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"
# The order gives the ids.
SPECIAL_TOKENS = [UNKNOWN, BOS, EOS, PAD, SYSTEM, USER, ASSISTANT, END]

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>\n"
    "{{ message['content'] | trim }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)

_TAGS = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}


class Message(TypedDict):
    role: str
    content: str


def chat_text(messages: list[Message]) -> str:
    """A whole conversation, without the leading <s>."""
    return "".join(f"{_TAGS[m['role']]}\n{m['content'].strip()}{END}\n" for m in messages)


def user_prompt(text: str) -> str:
    """One question, with the assistant's turn opened."""
    return f"{USER}\n{text}{END}\n{ASSISTANT}\n"
