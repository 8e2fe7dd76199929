"""The trained model as a packed checkpoint: ternary codes four a byte, low bits first, in a safetensors file."""

import json

import torch

from .model import SCALE_FLOOR, LanguageModel, ModelShape

_DTYPE_NAMES = {torch.uint8: "U8", torch.float32: "F32", torch.float16: "F16"}


def write_safetensors(path: str, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Tensors of uint8, float32 or float16, in the order given."""
    header: dict[str, object] = {"__metadata__": metadata}
    blobs, offset = [], 0
    for name, tensor in tensors.items():
        blob = tensor.detach().contiguous().cpu().numpy().tobytes()
        offsets = [offset, offset + len(blob)]
        header[name] = {"dtype": _DTYPE_NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        offset += len(blob)
        blobs.append(blob)
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with open(path, "wb") as file:
        file.write(len(encoded).to_bytes(8, "little"))
        file.write(encoded)
        for blob in blobs:
            file.write(blob)


def pack_ternary(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """weight [N, K] -> codes [N, K / 4] uint8 (0, 1, 2 mean -1, 0, +1) and the absmean scale [1]."""
    scale = weight.abs().mean().clamp(min=SCALE_FLOOR)
    codes = ((weight / scale).round().clamp(-1, 1) + 1).to(torch.uint8)
    outputs, inputs = codes.shape
    codes = codes.view(outputs, inputs // 4, 4)
    packed = codes[..., 0] | (codes[..., 1] << 2) | (codes[..., 2] << 4) | (codes[..., 3] << 6)
    return packed, scale.reshape(1).float()


def is_ternary(name: str, parameter: torch.Tensor) -> bool:
    return parameter.dim() == 2 and name.endswith("weight") and "embeddings" not in name


@torch.no_grad()
def export_packed(model: LanguageModel, path: str) -> None:
    """Ternary matrices packed with their scales, the embedding in float16, the rest in float32."""
    tensors = {}
    for name, parameter in model.named_parameters():
        if is_ternary(name, parameter):
            tensors[name], tensors[f"{name}_scale"] = pack_ternary(parameter)
        elif "embeddings" in name:
            tensors[name] = parameter.half()
        else:
            tensors[name] = parameter.float()
    write_safetensors(path, tensors, {"format": "ternary-2bit-row", "code": "0,1,2 = -1,0,+1"})


def write_config(path: str, shape: ModelShape, context_length: int, bos: int, end: int, pad: int) -> None:
    """config.json as the published implementation reads it. Replies end with `end`."""
    config = {
        "architectures": ["HGRNBitForCausalLM"],
        "model_type": "hgrn_bit",
        "vocab_size": shape.vocabulary_size,
        "hidden_size": shape.hidden_size,
        "num_hidden_layers": shape.layer_count,
        "attn_mode": "fused_recurrent",
        "num_heads": 1,
        "expand_ratio": 1,
        "use_short_conv": False,
        "conv_size": 4,
        "share_conv_kernel": True,
        "use_lower_bound": True,
        "hidden_ratio": 4,
        "intermediate_size": shape.intermediate_size,
        "hidden_act": "swish",
        "max_position_embeddings": context_length,
        "rms_norm_eps": 1e-6,
        "bos_token_id": bos,
        "eos_token_id": end,
        "pad_token_id": pad,
        "tie_word_embeddings": False,
        "initializer_range": 0.02,
        "torch_dtype": "float16",
    }
    with open(path, "w") as file:
        json.dump(config, file, indent=2)
