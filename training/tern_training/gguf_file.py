"""Writes the packed checkpoint as one GGUF v3 file with llama.cpp's gguf-py: a writer independent of Tern's own.

    python -m tern_training.gguf_file out tern-98m-v2.gguf

Reads model.packed.safetensors, config.json and tokenizer.json. The format is described in docs/model-format.md.
"""

import argparse
import json

import gguf
import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from safetensors.numpy import load_file

from .chat_format import CHAT_TEMPLATE

NAME = "Tern 98M"
VERSION = "2"
DESCRIPTION = "Small MatMul-free chat model, trained from scratch on public text and on conversations written for it."
FILE_TYPE_TQ2_0 = 37

# GGUF's token types.
TYPE_NORMAL, TYPE_CONTROL, TYPE_BYTE = 1, 3, 6

# Ternary matrices of a block: name in the file, name in the checkpoint.
BLOCK_MATRICES = [
    ("mlgru_i", "attn.i_proj"),
    ("mlgru_f", "attn.f_proj"),
    ("mlgru_g", "attn.g_proj"),
    ("mlgru_o", "attn.o_proj"),
    ("glu_gate_up", "mlp.gate_proj"),
    ("glu_down", "mlp.down_proj"),
]
BLOCK_NORMS = [("mlgru_norm", "attn_norm"), ("mlgru_out_norm", "attn.g_norm"), ("glu_norm", "mlp_norm")]


def unpack_ternary(packed: np.ndarray) -> np.ndarray:
    """Codes [N, K / 4] uint8 -> -1, 0, +1 as float32 [N, K]."""
    codes = np.stack([(packed >> shift) & 3 for shift in (0, 2, 4, 6)], -1)
    return codes.reshape(packed.shape[0], -1).astype(np.float32) - 1


def add_metadata(writer: gguf.GGUFWriter, config: dict, tokenizer_json: str) -> None:
    writer.add_name(NAME)
    writer.add_string("general.version", VERSION)
    writer.add_string("general.license", "cc-by-sa-4.0")
    writer.add_string("general.size_label", "98M")
    writer.add_string("general.description", DESCRIPTION)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_uint32("hgrn_bit.expand_ratio", config["expand_ratio"])
    writer.add_bool("hgrn_bit.use_lower_bound", config["use_lower_bound"])
    writer.add_file_type(FILE_TYPE_TQ2_0)

    tokenizer = json.loads(tokenizer_json)
    special = {token["id"] for token in tokenizer["added_tokens"]}
    vocabulary = sorted(tokenizer["model"]["vocab"].items(), key=lambda entry: entry[1])

    def token_type(token: str, token_id: int) -> int:
        if token_id in special:
            return TYPE_CONTROL
        return TYPE_BYTE if len(token) == 6 and token.startswith("<0x") else TYPE_NORMAL

    merges = tokenizer["model"]["merges"]
    writer.add_tokenizer_model("hf-bpe")
    writer.add_token_list([token.encode() for token, _ in vocabulary])
    writer.add_token_types([token_type(token, token_id) for token, token_id in vocabulary])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_unk_token_id(0)
    writer.add_string("tokenizer.huggingface.json", tokenizer_json)
    writer.add_chat_template(CHAT_TEMPLATE)


def add_tensors(writer: gguf.GGUFWriter, tensors: dict[str, np.ndarray], layer_count: int) -> None:
    def add_ternary(name: str, source: str) -> None:
        weights = unpack_ternary(tensors[f"{source}.weight"])
        blocks = quantize(weights, GGMLQuantizationType.TQ2_0)
        if not np.array_equal(dequantize(blocks, GGMLQuantizationType.TQ2_0), weights):
            raise ValueError(f"{source}: TQ2_0 blocks do not give the same weights back")
        writer.add_tensor(f"{name}.weight", blocks, raw_dtype=GGMLQuantizationType.TQ2_0)
        writer.add_tensor(f"{name}.scale", tensors[f"{source}.weight_scale"].astype(np.float32))
        writer.add_tensor(f"{name}_in_norm.weight", tensors[f"{source}.norm.weight"].astype(np.float32))

    writer.add_tensor("token_embd.weight", tensors["model.embeddings.weight"].astype(np.float16))
    writer.add_tensor("mlgru_lower_bounds.weight", tensors["model.lower_bounds"].astype(np.float32))
    for layer in range(layer_count):
        for name, source in BLOCK_NORMS:
            writer.add_tensor(f"blk.{layer}.{name}.weight", tensors[f"model.layers.{layer}.{source}.weight"])
        for name, source in BLOCK_MATRICES:
            add_ternary(f"blk.{layer}.{name}", f"model.layers.{layer}.{source}")
    writer.add_tensor("output_norm.weight", tensors["model.norm.weight"])
    add_ternary("output", "lm_head")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="folder that the training wrote")
    parser.add_argument("output", help="GGUF file to write")
    args = parser.parse_args(argv)
    with open(f"{args.checkpoint}/config.json") as file:
        config = json.load(file)
    with open(f"{args.checkpoint}/tokenizer.json", encoding="utf-8") as file:
        tokenizer_json = file.read()
    writer = gguf.GGUFWriter(args.output, "hgrn_bit")
    add_metadata(writer, config, tokenizer_json)
    add_tensors(writer, load_file(f"{args.checkpoint}/model.packed.safetensors"), config["num_hidden_layers"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
