"""A decoder with an adapter on it, and its merged weights."""

import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from service.corpus.files import unreadable
from training.lora.recipe import Recipe

_TOKENIZER_FILES = "tokenizer* special_tokens_map.json added_tokens.json vocab.* merges.txt chat_template*"


def with_adapter(folder: Path, recipe: Recipe, device: torch.device, dtype: torch.dtype) -> Any:
    """The decoder in ``folder``, frozen, with a LoRA adapter on all its linear layers but the head.

    Activations are computed again in the backward pass: those of long prompts are too large to keep.

    Raises:
        InvalidInput: the folder holds no model that transformers can load.
    """
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    except (OSError, ValueError) as error:
        raise unreadable(folder, f"not a decoder that transformers loads: {error}") from error
    torch.manual_seed(recipe.seed)
    model.to(device)
    model.activation_checkpointing_enable({"use_reentrant": False})
    adapter = LoraConfig(r=recipe.rank, lora_alpha=recipe.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, adapter)


def write_merged(model: Any, tokenizer: Path, out: Path) -> None:
    """Adds the adapter to the weights and writes them as safetensors, with ``tokenizer``'s files beside them."""
    model.merge_and_unload().save_pretrained(out)
    for pattern in _TOKENIZER_FILES.split():
        for file in tokenizer.glob(pattern):
            shutil.copyfile(file, out / file.name)
