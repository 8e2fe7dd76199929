"""A few greedy replies of the model in training, for the report. Reads all again for every token: simple, slow."""

import torch
from tokenizers import Tokenizer

from .chat_format import BOS, END, EOS, user_prompt
from .model import LanguageModel

MAX_TOKENS = 100

QUESTIONS = [
    "Hello! How are you today?",
    "What is the capital of France?",
    "Why is the sky blue?",
    "Tell me a short story about a fox and a rabbit.",
    "What is 27 + 45?",
    "Write a short poem about the sea.",
    "Give me three tips for better sleep.",
]


@torch.no_grad()
def reply(model: LanguageModel, tokenizer: Tokenizer, question: str) -> str:
    device = next(model.parameters()).device
    ids = [tokenizer.token_to_id(BOS), *tokenizer.encode(user_prompt(question), add_special_tokens=False).ids]
    ends = {tokenizer.token_to_id(EOS), tokenizer.token_to_id(END)}
    start = len(ids)
    while len(ids) - start < MAX_TOKENS:
        token = int(model(torch.tensor([ids], device=device))[0, -1].float().argmax())
        if token in ends:
            break
        ids.append(token)
    return tokenizer.decode(ids[start:], skip_special_tokens=False)
