"""A byte-fallback BPE tokenizer in the style of SentencePiece, trained on the corpus, and documents as token ids."""

import json

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from .chat_format import BOS, EOS, SPECIAL_TOKENS, UNKNOWN
from .data import Corpus

SPACE = "\u2581"
ENCODE_BATCH = 20_000


def train_tokenizer(corpus: Corpus, vocabulary_size: int) -> Tokenizer:
    """Learns merges from a third of up to 40,000 texts and from up to 60,000 dialogues."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\n"), "isolated"),
            pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="never", split=True),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Punctuation("isolated"),
        ]
    )
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=SPECIAL_TOKENS + byte_tokens,
        min_frequency=2,
        limit_alphabet=400,
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus.text[:40_000:3] + corpus.dialogue[:60_000], trainer)
    # Byte tokens were special only to get fixed ids; they are ordinary vocabulary, used by byte fallback.
    description = json.loads(tokenizer.to_str())
    description["added_tokens"] = [token for token in description["added_tokens"] if token["content"] in SPECIAL_TOKENS]
    return Tokenizer.from_str(json.dumps(description))


def encode_documents(tokenizer: Tokenizer, documents: list[str]) -> list[np.ndarray]:
    """Every document as uint16 ids between <s> and </s>."""
    bos, eos = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)
    encoded = []
    for start in range(0, len(documents), ENCODE_BATCH):
        for entry in tokenizer.encode_batch(documents[start : start + ENCODE_BATCH], add_special_tokens=False):
            encoded.append(np.array([bos, *entry.ids, eos], dtype=np.uint16))
    return encoded
