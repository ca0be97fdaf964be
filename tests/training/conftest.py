"""One thread for torch: models here are tiny, and threads that wait for each other on a busy machine take minutes."""

from __future__ import annotations

from contextlib import suppress

with suppress(ImportError):
    import torch

    torch.set_num_threads(1)
