"""A profile says how one reranker is asked and read: its prompt template, labels, window, budgets and calibration.

Profiles are YAML files. Those in ``profiles/`` come with the service; a directory of the operator's own may hold more.
``docs/profiles.md`` explains every key.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.errors import NotFound, ProfileError
from service.ranking.readings import Reading
from service.ranking.strategies.comparing import SMALLEST_WINDOW
from service.ranking.strategies.registry import STRATEGIES
from service.ranking.template import Place, Template, without_places
from service.tokenization.sources import FILE_NAME, Hub, TokenizerSource

POINTWISE_LABELS = 2

SHIPPED = Path(__file__).with_name("profiles")
MODELS = Path(__file__).parent.parent / "models"


class Calibration(BaseModel):
    """The logistic map from evidence in logits to a relevance score, see ``calibration.py``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slope: float = Field(1.0, gt=0, allow_inf_nan=False)
    offset: float = Field(0.0, allow_inf_nan=False)


class Generation(BaseModel):
    """How a model writes an order down, for profiles with ``reading: permutation``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_tokens: int = Field(ge=1, description="most tokens that it may generate, its thinking included")
    separator: str = Field(" > ", min_length=1, description="what stands between two labels")
    thinking_end: str | None = Field(None, min_length=1, description="where its thinking ends, if it thinks")


class EvidenceWeights(BaseModel):
    """What the kinds of evidence count, for profiles with ``reading: encoded``; see ``engine/encoded.py``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    dense: float = Field(gt=0, description="logit for a cosine of one")
    sparse: float = Field(gt=0, description="logit for a sparse match of one")
    lexical: float = Field(0.0, ge=0, description="logit for each point of BM25, where an index tells it")
    least_cosine: float = Field(0.0, description="cosine to expect of a passage that does not match at all")
    cosine_per_match: float = Field(0.0, description="what a match of one adds to that")


ExampleText = Annotated[str, AfterValidator(without_places)]


class Example(BaseModel):
    """A question that the prompt shows with its answer. Trusted: it may spell labels, as its answer does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: ExampleText = Field(min_length=1)
    passages: tuple[ExampleText, ...] = Field(min_length=1, description="in the order in which they are shown")
    answer: ExampleText = Field(min_length=1, description="what the model should answer, spelt out")


def _known_strategy(name: str) -> str:
    if name not in STRATEGIES:
        raise ValueError(f"no strategy of that name; there is: {', '.join(STRATEGIES)}")
    return name


class Profile(BaseModel):
    """One way of asking one model. Lengths are in the model's own tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    description: str
    model: str = Field(min_length=1, description="the model's public name")
    folder: Path | None = Field(None, description="tokenizer and weights; without one, the hub's name")
    hub: Hub | None = Field(None, description="where the tokenizer is fetched from if the folder does not hold it")
    reading: Reading = Reading.LISTWISE
    labels: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        min_length=2, description="in the order in which passages are shown; each a single token unless written down"
    )
    grades: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(
        None, min_length=2, description="what a graded model answers with, the lowest first; each a single token"
    )
    generation: Generation | None = None
    passage_end: str | None = Field(None, min_length=1, description="what ends a passage that is embedded on its own")
    window: int = Field(ge=1, description="most passages in one prompt")
    stride: int = Field(1, ge=1, description="step of the sliding window")
    strategy: Annotated[str, AfterValidator(_known_strategy)] = "sliding"
    passage_tokens: int = Field(ge=1, description="most tokens of a passage")
    query_tokens: int = Field(ge=1, description="most tokens of the query")
    context_tokens: int = Field(ge=1, description="most tokens of a prompt")
    first_stage_weight: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="how much the first stage's order counts in a search"
    )
    chunks: int | None = Field(
        None, ge=1, le=8, description="chunks of a long document that are ranked where a request does not say"
    )
    instruction: str = Field("", description="fills {instruction} in the template")
    guarded: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="what no passage or query may spell, beside labels and special tokens"
    )
    evidence: EvidenceWeights | None = Field(None, description="what the two encoders' values count")
    template: Template
    examples: tuple[Example, ...] = Field((), description="fill {examples} in the template")
    calibration: Calibration = Calibration()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.folder is None and self.hub is None:
            raise ValueError("either a folder or a hub is needed")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels are distinct")
        if self.window > len(self.labels):
            raise ValueError(f"a window of {self.window} needs as many labels, there are {len(self.labels)}")
        self._check_reading()
        self._check_examples()
        if self.strategy not in self.strategies:
            raise ValueError(f"the reading {self.reading} goes with the strategies {', '.join(self.strategies)}")
        if self.reading.alone:
            self._check_alone()
        else:
            self._check_comparing()
        return self

    def _check_reading(self) -> None:
        for key, given, reading in (
            ("generation", self.generation is not None, Reading.PERMUTATION),
            ("grades", self.grades is not None, Reading.GRADED),
            ("template.suffix with {asked}", Place.ASKED in self.template.suffix, Reading.GRADED),
            ("passage_end", self.passage_end is not None, Reading.EMBEDDING),
            ("evidence", self.evidence is not None, Reading.ENCODED),
        ):
            if given != (self.reading is reading):
                raise ValueError(f"{key} belongs to the reading {reading}, and to no other")

    def _check_examples(self) -> None:
        if self.examples and not (self.template.example and Place.EXAMPLES in self.template.prefix):
            raise ValueError("examples need template.example, and {examples} in template.prefix")
        if any(len(example.passages) > len(self.labels) for example in self.examples):
            raise ValueError("each passage of an example needs a label")

    def _check_alone(self) -> None:
        if self.window != 1 or len(self.labels) != POINTWISE_LABELS:
            raise ValueError(f"the reading {self.reading} has a window of 1 and two labels, the negative one first")
        if Place.LABEL in self.template.passage:
            raise ValueError(f"template.passage has no {{label}} where the reading is {self.reading}")

    def _check_comparing(self) -> None:
        if self.window < SMALLEST_WINDOW:
            raise ValueError(f"a window to be compared holds at least {SMALLEST_WINDOW} passages")
        if self.stride >= self.window:
            raise ValueError("the stride is shorter than the window")
        if Place.LABEL not in self.template.passage:
            raise ValueError("template.passage needs {label} at least once")

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of the strategies that this profile can be used with."""
        return self.reading.strategies

    @property
    def answers(self) -> tuple[str, ...]:
        """What the model answers with: the labels, or grades."""
        return self.labels if self.grades is None else self.grades

    @property
    def identifiers(self) -> tuple[str, ...]:
        """What a passage must not spell to be what it is: labels that prompts show, and what the profile guards."""
        return self.guarded if self.reading.alone else (*self.labels, *self.guarded)

    @property
    def directory(self) -> Path:
        """Where the tokenizer and the weights are, or would be looked for first."""
        return MODELS / self._place  # an absolute place stays as it is

    @property
    def tokenizer(self) -> TokenizerSource:
        """Where the tokenizer comes from: the folder if it is there, else the hub if there is one."""
        file = self.directory / FILE_NAME
        return file if self.hub is None or file.exists() else self.hub

    def within(self, models: Path | None) -> Profile:
        """This profile with its folder looked for in ``models`` first, then among those that come with the service."""
        if models is None or not (models / self._place).exists():
            return self
        return self.model_copy(update={"folder": (models / self._place).absolute()})

    @property
    def _place(self) -> Path:
        if self.folder is not None:
            return self.folder
        return Path(self.hub.name if self.hub is not None else "")


def load(file: Path) -> Profile:
    """Read one profile.

    Raises:
        ProfileError: naming the file, and the key that is missing, unknown or wrong.
    """
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ProfileError(f"{file}: cannot be read: {error}") from error
    try:
        return Profile.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'profile'}: {e['msg']}" for e in error.errors())
        raise ProfileError(f"{file}: {problems}") from error


def available(directory: Path | None = None) -> dict[str, Path]:
    """Profile files by name: those that come with the service, and those of ``directory``, which go before them."""
    directories = [SHIPPED] if directory is None else [SHIPPED, directory]
    return {file.stem: file for folder in directories for file in sorted(folder.glob("*.yaml"))}


def find(name: str, directory: Path | None = None, models: Path | None = None) -> Profile:
    """The profile of that name; its folder is looked for in ``models`` first.

    Raises:
        NotFound: there is none.
        ProfileError: its file cannot be used, or calls it by another name.
    """
    files = available(directory)
    if name not in files:
        raise NotFound(f"no profile of that name; there is: {_listed(list(files))}", field="rerank.profile")
    profile = load(files[name])
    if profile.name != name:
        raise ProfileError(f"{files[name]}: name: is {profile.name}, but the file is called {name}")
    return profile.within(models)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
