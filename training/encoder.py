"""The teacher: the sentence encoder itself, mean-pooled and normalised, in bfloat16."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import BertModel

_BATCH_TOKENS = 8192


class Encoder:
    """Texts to sentence vectors."""

    def __init__(self, folder: Path, max_tokens: int = 160) -> None:
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_tokens)
        self.model = BertModel.from_pretrained(folder, dtype=torch.bfloat16)
        self.model.eval()  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def embed(self, texts: list[str]) -> Tensor:
        """Unit vectors, float16 [texts, 384]."""
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        vectors = torch.empty(len(ids), self.model.config.hidden_size, dtype=torch.float16)
        start = 0
        while start < len(order):
            size = max(1, _BATCH_TOKENS // len(ids[order[min(start + 64, len(order) - 1)]]))
            batch = order[start : start + size]
            vectors[batch] = self._forward([ids[i] for i in batch]).half()
            start += size
        return vectors

    def _forward(self, rows: list[list[int]]) -> Tensor:
        width = max(map(len, rows))
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        tokens = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        hidden = self.model(input_ids=tokens, attention_mask=mask).last_hidden_state.float()
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return torch.nn.functional.normalize(mean, dim=-1)
