"""A profile and its engine: the part of the composition that knows concrete engines."""

from __future__ import annotations

from pathlib import Path

from service.encoders.encoders import Encoders
from service.engine.encoded import EncoderScorer, EvidenceWeights
from service.engine.fake import FakeScorer
from service.engine.passages import PassageMemory
from service.engine.scorer import Scorer
from service.engine.vllm.arguments import facts_of, server_arguments
from service.engine.vllm.discovery import GENERATED, Needs
from service.engine.vllm.export_head import CONFIG, export_head
from service.engine.vllm.permutation import Generation
from service.engine.vllm.reading import Manners, Mode
from service.engine.vllm.scorer import VllmOptions, VllmScorer
from service.errors import ConfigurationError
from service.observability.events import Notify
from service.ranking import profile as profiles
from service.ranking.profile import Profile
from service.ranking.prompt import PromptBuilder
from service.ranking.ranker import Ranker
from service.ranking.readings import Reading
from service.settings import EngineKind, Settings
from service.tokenization.sources import fetched

_USUAL_MODE = {
    Reading.LISTWISE: Mode.DECODE,
    Reading.POINTWISE: Mode.DECODE,
    Reading.GRADED: Mode.DECODE,
    Reading.PERMUTATION: Mode.PERMUTATION,
    Reading.EMBEDDING: Mode.EMBED,
}


def find_profile(settings: Settings, name: str | None = None) -> Profile:
    """The profile of that name, or the default one."""
    wanted = settings.ranking
    return profiles.find(name or wanted.profile, wanted.profiles_directory, wanted.models_directory)


def passage_encoder(settings: Settings, name: str | None = None) -> PromptBuilder:
    """What tokenises passages for a profile when an index is built."""
    return PromptBuilder(find_profile(settings, name))


def build_ranker(
    settings: Settings, name: str | None = None, notify: Notify = lambda _: None, encoders: Encoders | None = None
) -> Ranker:
    """A ranker for a profile, with its engine, which is still to be opened; ``notify`` hears what happens to it.

    ``encoders`` are used where the profile's engine is a pair of them; without, its own are loaded.
    """
    builder = passage_encoder(settings, name)
    return Ranker(
        builder,
        _scorer(settings, builder, notify, encoders),
        strategy=settings.ranking.strategy,
        most_prompts=settings.limits.prompts,
    )


def vllm_needs(builder: PromptBuilder, model: str | None = None) -> Needs:
    """What a profile needs of a vLLM server that serves ``model``."""
    profile = builder.profile
    written = profile.generation
    generation = None if written is None else Generation(profile.labels, **written.model_dump())
    embeds = profile.reading is Reading.EMBEDDING
    return Needs(builder.label_ids, profile.context_tokens, model=model, generation=generation, embeds=embeds)


def vllm_arguments(profile: Profile, mode: Mode | None = None, model: Path | None = None) -> list[str]:
    """The arguments of a vLLM server for a profile, whose model lies in ``model``, in its own folder, or at its hub.

    Without ``mode``, the one that every server of the profile's reading has.

    Raises:
        ProfileError: there is no ``config.json``.
        ConfigurationError: the model cannot be served in that mode, or not at all; the message says what to do instead.
    """
    _require_vllm(profile)
    builder, usual = PromptBuilder(profile), _USUAL_MODE[profile.reading]
    if mode not in {None, usual} and not profile.reading.by_token:
        raise ConfigurationError(f"{profile.name} is served with --mode {usual}, not {mode}")
    folder, at_hub = model or profile.directory, None
    if model is None and profile.hub is not None and not (folder / CONFIG).exists():
        folder, at_hub = fetched(profile.hub, CONFIG).parent, profile.hub
    facts = facts_of(
        folder,
        name=profile.model,
        label_tokens=builder.label_tokens,
        prompt_tokens=profile.context_tokens,
        generated=profile.generation.max_tokens if profile.generation else GENERATED,
        model=at_hub.name if at_hub else None,
        revision=at_hub.revision if at_hub else None,
    )
    return server_arguments(facts, mode or usual)


def write_head(profile: Profile, target: Path) -> None:
    """Write a profile's model with its labels' output rows as a classification head, for vLLM to serve.

    Raises:
        ProfileError: the profile's folder does not hold a causal language model.
        ConfigurationError: no model server reads the profile's prompts.
    """
    _require_vllm(profile)
    export_head(profile.directory, PromptBuilder(profile).label_ids, target)


def _require_vllm(profile: Profile) -> None:
    if profile.evidence is not None:
        raise ConfigurationError(
            f"the profile {profile.name} is read by encoders in the service's own process, not by vLLM: name another "
            "one (ranking.profile), or set engine.kind=encoders"
        )


def _scorer(settings: Settings, builder: PromptBuilder, notify: Notify, encoders: Encoders | None) -> Scorer:
    engine, profile = settings.engine, builder.profile
    match engine.kind:
        case EngineKind.FAKE:
            return FakeScorer()
        case EngineKind.ENCODERS:
            if profile.evidence is None:
                raise ConfigurationError(f"the profile {profile.name} needs vLLM: set engine.kind=vllm and engine.urls")
            return EncoderScorer(
                encoders or Encoders(profile.directory, threads=engine.threads),
                EvidenceWeights(**profile.evidence.model_dump()),
                PassageMemory(engine.passage_bytes),
                queue_passages=engine.queue_passages,
                notify=notify,
            )
        case EngineKind.VLLM:
            _require_vllm(profile)
            key = engine.api_key.get_secret_value() if engine.api_key else None
            options = VllmOptions(engine.urls, key, engine.call_tokens, Manners(priority=engine.priority))
            return VllmScorer(options, vllm_needs(builder, engine.model), notify)
