"""How Tern's embedded model was made: corpus, tokenizer, training on GPUs, export, GGUF, golden values."""
