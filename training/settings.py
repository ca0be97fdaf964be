"""Reads ``config.yaml`` into frozen records."""

from dataclasses import dataclass
from pathlib import Path

import yaml

_FILE = Path(__file__).with_name("config.yaml")


@dataclass(frozen=True)
class RecastSettings:
    """The shape of the decoder."""

    vocab_size: int


@dataclass(frozen=True)
class DataSettings:
    """What becomes a passage, what is mined, and how the collections mix."""

    chunk_tokens: int
    max_chunks: int
    query_tokens: int
    mined: int
    dev_queries: int
    spans: int
    span_passages: int
    composed: int
    weights: dict[str, float]


@dataclass(frozen=True)
class TrainSettings:
    """The schedule and the weight of each signal."""

    minutes: float
    learning_rate: float
    final_learning_rate: float
    warmup_steps: int
    matrix_haste: float
    orthogonal_steps: int
    weight_decay: float
    clip: float
    batch_tokens: int
    spans: float
    mined: float
    listed: float
    checkpoint_minutes: float
    temperature: float
    recall_weight: float
    recall_weight_end: float
    compare_weight: float
    held_weight: float


@dataclass(frozen=True)
class HeldOutSettings:
    """Which part of somebody's own queries measures and does not train."""

    share: float
    most: int
    depth: int


@dataclass(frozen=True)
class LoraSettings:
    """Adapter, schedule and objective of LoRA fine-tuning."""

    rank: int
    alpha: int
    epochs: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    clip: float
    batch_tokens: int
    accumulate: int
    checkpoint_minutes: float
    mined: int
    listed: float
    rank_weight: float


@dataclass(frozen=True)
class Settings:
    """Everything in ``config.yaml``."""

    seed: int
    recast: RecastSettings
    data: DataSettings
    train: TrainSettings
    finetune: TrainSettings
    """Those of ``train`` but for what the section changes."""
    held_out: HeldOutSettings
    lora: LoraSettings


def load_settings(path: Path = _FILE) -> Settings:
    """Reads and checks the names of ``config.yaml``."""
    raw = yaml.safe_load(path.read_text())
    return Settings(
        seed=raw["seed"],
        recast=RecastSettings(**raw["recast"]),
        data=DataSettings(**raw["data"]),
        train=TrainSettings(**raw["train"]),
        finetune=TrainSettings(**{**raw["train"], **raw["finetune"]}),
        held_out=HeldOutSettings(**raw["held_out"]),
        lora=LoraSettings(**raw["lora"]),
    )
