"""Settings become the engine that reads pages: the CPU's own, or a model with its ladder."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from folio.child import cores
from folio.errors import Permanent, SettingsError
from folio.settings import Settings
from folio.telemetry import log
from ocr_stage.engine import Engine, ScriptedEngine
from ocr_stage.model import Ask, Model
from ocr_stage.modes import Mode
from ocr_stage.prompts import Prompt, prompt
from ocr_stage.router import Router
from ocr_stage.tidy_blocks import Rules

if TYPE_CHECKING:
    from ocr_stage.deepseek.launch import EngineSettings

AUTO = "auto"


def open_engine(settings: Settings) -> Engine:
    """Raises SettingsError for what cannot be, whoever reads; nothing starts before the first page."""
    _asked(settings)
    if settings.ocr.engine == "scripted":
        return ScriptedEngine()
    if settings.ocr.engine == "rapid":
        return _rapid(settings)
    return _laddered(settings, open_model(settings))


def open_model(settings: Settings) -> Model:
    """The model behind the ladder. Imported when it is wanted: it brings an HTTP client, or vLLM."""
    if settings.ocr.engine == "deepseek":
        return _deepseek(settings)
    from ocr_stage.remote import RemoteModel, RemoteSettings

    remote = settings.remote
    if not remote.url.startswith(("http://", "https://")):
        given = f"an address of http or https, not {remote.url!r}" if remote.url else "remote.url"
        raise SettingsError(f'ocr.engine = "remote" needs {given}: remote.url = "http://host:8000/v1"')
    asked = remote.model_dump(exclude={"pages_at_once"})
    return RemoteModel(
        RemoteSettings(
            **asked,
            connections_max=remote.pages_at_once,
            page_seconds_max=settings.ocr.page_seconds_max,
            pixels_max=settings.ingest.pixels_max,
            processes=processes(settings),
        )
    )


def open_verifier(settings: Settings) -> Engine | None:
    """Who reads pages that are only compared; None: the engine itself."""
    apart = settings.ocr.verify == "rapid" and settings.ocr.engine not in {"rapid", "scripted"}
    return _rapid(settings) if apart else None


def pages_at_once(settings: Settings) -> int:
    """What the engine can have in work."""
    if settings.ocr.engine == "deepseek":
        return gpu_settings(settings).pages_at_once
    return settings.remote.pages_at_once if settings.ocr.engine == "remote" else 2 * processes(settings)


def gpu_settings(settings: Settings) -> "EngineSettings":
    """One card's engine."""
    from ocr_stage.deepseek.launch import GIB, EngineSettings, small

    gpu = settings.gpu
    engine = EngineSettings(
        model=gpu.model,
        load_format=gpu.load_format,
        memory_share=gpu.memory_share,
        renderers=gpu.renderers,
        fp8=gpu.fp8_cache,
    )
    if gpu.card_gb:
        engine = small(engine, gpu.card_gb * GIB)
    return replace(engine, sequences=gpu.sequences) if gpu.sequences else engine


def _deepseek(settings: Settings) -> Model:
    from ocr_stage.deepseek.engine import DeepSeekModel

    return DeepSeekModel(
        gpu_settings(settings),
        page_seconds_max=settings.ocr.page_seconds_max,
        pixels_max=settings.ingest.pixels_max,
    )


def processes(settings: Settings) -> int:
    return settings.ocr.processes or cores()


def _rapid(settings: Settings) -> Engine:
    from ocr_stage.rapid import RapidEngine

    return RapidEngine(
        processes=processes(settings),
        edge_pixels=settings.ocr.edge_pixels,
        page_seconds_max=settings.ocr.page_seconds_max,
        layout=settings.ocr.layout,
        preprocess=settings.profile.preprocess,
    )


def _laddered(settings: Settings, model: Model) -> Engine:
    from ocr_stage.ladder import PLAIN, Ladder, Rung
    from ocr_stage.sight import ChildSight

    profile = settings.profile
    auto = profile.mode == AUTO
    sight = ChildSight(
        preprocess=profile.preprocess,
        router=_router(settings) if auto else None,
        processes=processes(settings),
        page_seconds_max=settings.ocr.page_seconds_max,
        pixels_max=settings.ingest.pixels_max,
    )
    asked = _asked(settings)
    if asked.warning:
        log().warning("ocr.prompt", prompt=asked.text, warning=asked.warning)
    ask = Ask(mode=Mode.GUNDAM if auto else Mode(profile.mode), prompt=asked)
    rules = Rules(**{name: name in profile.rules for name in Rules.__dataclass_fields__})
    other = _rapid(settings) if settings.ocr.second == "rapid" else None
    plain = settings.ocr.engine == "remote" and settings.remote.dialect == "plain"
    return Ladder(model, sight, ask, other=other, rules=rules, rungs=PLAIN if plain else frozenset(Rung))


def _asked(settings: Settings) -> Prompt:
    """Raises SettingsError that gives the nearest name; or says that it is too long, whatever engine reads."""
    try:
        return prompt(settings.profile.prompt)
    except Permanent as refused:
        raise SettingsError(f"ocr.prompt: {refused.detail}") from None


def _router(settings: Settings) -> Router:
    return Router.read(Path(settings.ocr.router)) if settings.ocr.router else Router()
