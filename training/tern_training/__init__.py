"""How Tern's embedded model was made: corpus, tokenizer, training on one GPU, export, GGUF, golden values."""
