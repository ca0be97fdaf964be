"""The model: a decoder's folder in, the same with an adapter on it; and merged weights out."""

import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from training.errors import UnusableInput
from training.settings import LoraSettings

_TOKENIZER_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "chat_template*",
)


def with_adapter(folder: Path, settings: LoraSettings, seed: int, device: torch.device, dtype: torch.dtype) -> Any:
    """The decoder in ``folder``, frozen, with a LoRA adapter on all its linear layers but the head.

    Activations are computed again in the backward pass: those of long prompts are too large to keep.

    Raises:
        UnusableInput: the folder holds no model that transformers can load.
    """
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UnusableInput(f"{folder}: not a decoder that transformers loads: {error}") from error
    torch.manual_seed(seed)
    model.to(device)
    model.activation_checkpointing_enable({"use_reentrant": False})
    adapter = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, adapter)


def write_merged(model: Any, tokenizer: Path, out: Path) -> None:
    """Adds the adapter to the weights and writes them as safetensors, with ``tokenizer``'s files beside them."""
    model.merge_and_unload().save_pretrained(out)
    for pattern in _TOKENIZER_FILES:
        for file in tokenizer.glob(pattern):
            shutil.copyfile(file, out / file.name)
