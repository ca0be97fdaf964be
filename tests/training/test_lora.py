from __future__ import annotations

import json
import math
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: training/requirements.txt")
pytest.importorskip("peft", reason="needs peft: training/requirements.txt")

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from service.engine.scorer import Prompt
from service.errors import InvalidInput, ProfileError
from service.ranking.profile import Profile, find
from service.ranking.prompt import PromptBuilder
from tests.ranking.families import sentencepiece_bpe
from tests.training import made
from training.lora.__main__ import Task, finetune
from training.lora.batches import last_logits, packed
from training.lora.decoder import with_adapter, write_merged
from training.lora.examples import Example, Windows
from training.lora.objective import first_label_loss, objective, weighted_ranknet
from training.lora.recipe import Recipe
from training.lora.run import LoraRun

pytestmark = [
    pytest.mark.needs("torch"),
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),  # peft still asks by that name
]

CPU = torch.device("cpu")
LETTERS = ["A", "B", "C", "D"]
RECIPE = Recipe(
    rank=4, alpha=8, epochs=2, warmup_steps=2, learning_rate=5e-3, batch_tokens=1500, accumulate=2, mined=10
)


def profile(**change: Any) -> Profile:
    template = {"prefix": "<s>Query: {query}\n", "passage": "[{label}] {text}\n", "suffix": "The order of {count}: ["}
    content: dict[str, Any] = {
        "name": "letters", "description": "For tests.", "model": "tiny", "folder": "tiny", "labels": LETTERS,
        "window": 4, "stride": 2, "passage_tokens": 60, "query_tokens": 20, "context_tokens": 511, "template": template,
    }  # fmt: skip
    return Profile.model_validate(content | change)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny decoder of Llama's shape with random weights."""
    folder, tokenizer = tmp_path_factory.mktemp("tiny"), sentencepiece_bpe()
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    LlamaForCausalLM(LlamaConfig(vocab_size=tokenizer.get_vocab_size(), **shape)).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def windows(model: Path, listed: float = 0.5) -> Windows:
    return Windows(made.collection(), profile(folder=str(model)), replace(RECIPE, listed=listed))


def adapted(model: Path, seed: int = 5) -> Any:
    return with_adapter(model, replace(RECIPE, seed=seed), CPU, torch.float32)


def example(tokens: int, grades: tuple[int, ...] = (0, 1)) -> Example:
    return Example(Prompt((np.arange(tokens) % 7).astype(np.uint32), tuple(range(len(grades)))), grades)


def test_the_label_loss_asks_for_any_of_the_best() -> None:
    logits = torch.tensor([0.25, 0.5, 0.125, 0.125]).log()
    labels = torch.tensor([3, 1, 0])

    assert first_label_loss(logits, labels, torch.tensor([0, 2, 1])).item() == pytest.approx(math.log(2))
    assert first_label_loss(logits, labels, torch.tensor([0, 1, 1])).item() == pytest.approx(-math.log(0.75))


def test_ranknet_weighs_pairs_by_their_wanted_ranks() -> None:
    scores, grades = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([2, 0, 1])
    # wanted order: the first, the third, the second, so the pairs are of ranks 1+2, 1+3 and 2+3
    losses = [math.log1p(math.e**2) / 3, math.log1p(math.e) / 4, math.log1p(math.e**-1) / 5]

    assert weighted_ranknet(scores, grades).item() == pytest.approx(sum(losses) / 3)


def test_passages_of_equal_grade_make_no_pair() -> None:
    assert weighted_ranknet(torch.tensor([3.0, 1.0]), torch.tensor([1, 1])).item() == 0


def test_both_losses_are_added_with_the_weight() -> None:
    logits = torch.randn(2, 9)
    total, parts = objective(logits, [example(3), example(4)], 10.0)
    assert total.item() == pytest.approx(parts["label"] + 10 * parts["rank"], rel=1e-5)


def test_batches_hold_no_more_tokens_than_allowed_and_every_example_once() -> None:
    examples = [example(tokens) for tokens in (30, 5, 12, 7, 40, 6, 100)]
    batches = packed(examples, 40)

    assert [[each.prompt.tokens for each in batch] for batch in batches] == [[5, 6, 7], [12], [30], [40], [100]]


def test_prompts_are_those_of_the_service(model: Path) -> None:
    drawn = windows(model).draw("q3", np.random.default_rng(0))
    builder = PromptBuilder(profile(folder=str(model)))

    assert drawn.prompt.label_ids == builder.label_ids
    assert drawn.prompt.token_ids[0] == 1  # <s>, once
    assert drawn.grades.count(1) == 1


def test_windows_stand_in_the_first_stages_order_or_shuffled(model: Path) -> None:
    random = np.random.default_rng(0)
    for listed, places in ((1.0, {0}), (0.0, {0, 1, 2, 3})):
        asked = windows(model, listed)
        assert {asked.draw("q3", random).grades.index(1) for _ in range(40)} == places


def test_grades_are_those_of_the_passages_shown(model: Path) -> None:
    asked = windows(model, listed=1.0)
    drawn, first = asked.draw("q3", np.random.default_rng(0)), asked.prompt("q3", ["d3"])
    passage = PromptBuilder(profile(folder=str(model))).encode([made.collection().corpus["d3"]])[0].ids

    ids = drawn.prompt.token_ids.tolist()
    starts = [start for start in range(len(ids)) if ids[start : start + len(passage)] == passage.tolist()]
    assert drawn.grades == (1, 0, 0, 0)
    assert starts == [
        start for start in range(first.tokens) if np.array_equal(first.token_ids[start:][: len(passage)], passage)
    ]


def test_padding_changes_no_logits(model: Path) -> None:
    decoder = adapted(model).eval()
    prompts = [windows(model).prompt("q3", names) for names in (["d3"], ["d3", "d4", "d5"], ["d1", "d2"])]
    with torch.inference_mode():
        together = last_logits(decoder, prompts, CPU)
        alone = torch.cat([last_logits(decoder, [prompt], CPU) for prompt in prompts])
    assert torch.allclose(together, alone, atol=1e-4)


def test_a_reading_without_label_logits_is_refused(model: Path) -> None:
    written = profile(
        folder=str(model), reading="permutation", generation={"max_tokens": 20}, labels=["[1]", "[2]", "[3]", "[4]"]
    )
    with pytest.raises(ProfileError, match="reading is permutation, only listwise can be trained"):
        Windows(made.collection(), written, RECIPE)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not a decoder that transformers loads"):
        adapted(tmp_path)


def test_a_run_that_was_stopped_ends_where_one_that_was_not_does(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = windows(model)
    whole = LoraRun(adapted(model), RECIPE, tmp_path / "whole.pt")
    assert whole.train(asked)

    first = LoraRun(adapted(model), RECIPE, tmp_path / "parts.pt")
    step = first._step

    def stopping_step(*arguments: Any) -> None:
        step(*arguments)
        if first.counts["step"] == 3:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(first, "_step", stopping_step)
    assert not first.train(asked)
    second = LoraRun(adapted(model, seed=6), RECIPE, tmp_path / "parts.pt")
    second.resume()
    assert second.train(asked)

    assert whole.counts == second.counts
    assert first.counts["step"] == 3
    for ours, theirs in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_training_learns_what_it_is_shown(model: Path, tmp_path: Path) -> None:
    longer = replace(RECIPE, epochs=6, learning_rate=2e-2)
    run, asked = LoraRun(adapted(model), longer, tmp_path / "run.pt"), windows(model, listed=1.0)
    shown = [asked.draw(query, np.random.default_rng(1)) for query in asked.queries]

    def loss() -> float:
        with torch.inference_mode():
            logits = last_logits(run.model, [each.prompt for each in shown], CPU)
            return objective(logits, shown, 10.0)[0].item()

    before = loss()
    run.train(asked)
    assert loss() < 0.9 * before


def test_merged_weights_answer_as_the_adapter_did(model: Path, tmp_path: Path) -> None:
    decoder, asked = adapted(model), windows(model)
    LoraRun(decoder, RECIPE, tmp_path / "run.pt").train(asked)
    prompt = asked.prompt("q3", ["d3", "d4"])
    with torch.inference_mode():
        before = last_logits(decoder.eval(), [prompt], CPU)
        write_merged(decoder, model, tmp_path / "merged")
        merged: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
        after = last_logits(merged.eval(), [prompt], CPU)
    assert torch.allclose(before, after, atol=1e-4)


def test_profile_and_weights_come_out(model: Path, tmp_path: Path) -> None:
    data = made.write_set(tmp_path / "set")
    out = tmp_path / "out"
    figures = finetune(Task(model, profile(), data, out, "mine", CPU, torch.bfloat16, held_out=0.2), RECIPE)

    served = find("mine", out, out)
    assert figures is not None
    assert figures.queries == json.loads((out / "mine" / "finetuning.json").read_text())["queries"] == 6
    assert served.model == "mine"
    assert served.template == profile().template
    assert PromptBuilder(served).label_ids
    assert json.loads((out / "mine" / "config.json").read_text())["dtype"] == "bfloat16"
    assert (out / "mine" / "model.safetensors").exists()
    assert {path.name for path in out.iterdir()} == {"mine", "mine.yaml"}
