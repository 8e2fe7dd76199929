"""A few replies of the trained model, for the report. Reads the whole text again for every token: simple, slow."""

import torch
from tokenizers import Tokenizer

from .chat_format import BOS, END, EOS, user_prompt
from .model import LanguageModel

QUESTIONS = [
    "Hello! How are you today?",
    "What is the capital of France?",
    "Tell me a short story about a fox and a rabbit.",
    "Who are you?",
    "Explain why the sky is blue in simple words.",
    "I would like to book a table for two tonight.",
    "What can I cook with eggs and rice?",
    "Write a short poem about the sea.",
]
BEGINNINGS = ["Once upon a time there was a little girl who", "The history of the city begins"]
PROMPTS = [user_prompt(question) for question in QUESTIONS] + BEGINNINGS


@torch.no_grad()
def sample(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    context_length: int,
    max_tokens: int = 120,
    temperature: float = 0.7,
    top_k: int = 40,
) -> str:
    """The prompt and its continuation, special tokens included."""
    device = next(model.parameters()).device
    ids = [tokenizer.token_to_id(BOS), *tokenizer.encode(prompt, add_special_tokens=False).ids]
    ends = {tokenizer.token_to_id(EOS), tokenizer.token_to_id(END)}
    for _ in range(max_tokens):
        logits = model(torch.tensor([ids[-context_length:]], device=device))[0, -1].float() / temperature
        values, indices = logits.topk(top_k)
        token = int(indices[torch.multinomial(values.softmax(-1), 1)])
        if token in ends:
            break
        ids.append(token)
    return tokenizer.decode(ids, skip_special_tokens=False)
