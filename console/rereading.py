"""`folio page --reread`: a page that is there read once more, in this process; kept where `--replace` asks for that."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from console import reading
from console.options import say
from console.session import open_session
from folio import telemetry
from folio.errors import FolioError, Permanent, SettingsError, Transient
from folio.records import Page, PageText
from folio.settings import Settings, load
from infra.engines import open_engine
from ocr_stage.engine import Engine
from ocr_stage.stage import failed_text, text_of

KNOWS_NOTHING_OF_IT = ("rapid", "scripted")
"""Engines that have one resolution and no prompt."""
SHOWN_S = 60.0


def reread(
    settings: Settings, asked: Mapping[str, Any], document: str, number: int, *, password: str
) -> dict[str, Any]:
    """As the API answers for a page that is kept. `asked` is of `ocr`, and for this page alone: where this process is
    the owner meanwhile, pages that wait are read as `settings` say.

    Raises SettingsError for what the engine does not know, FolioError when there is no such page or picture, or the
    engine is away.
    """
    if blank := sorted(name for name, value in asked.items() if not str(value).strip()):
        raise SettingsError(f"--{blank[0]} is empty: leave it out, or say what to read it with")
    wanted = load(overrides={"data": settings.data, "ocr": dict(asked)})
    engine = wanted.ocr.engine
    if engine in KNOWS_NOTHING_OF_IT and (unknown := sorted(asked.keys() - {"engine"})):
        raise SettingsError(f"ocr.engine = {engine} has no {' and no '.join(unknown)}: --engine remote or deepseek has")
    telemetry.configure(level="WARNING", json=settings.telemetry.json_lines)  # stdout is the page's
    reader = open_engine(wanted)  # refuses what cannot be before anything is fetched
    with open_session(settings, warm=False) as session:
        kept = session.call(lambda client: client.page(document, number))
        jpeg = reading.picture(session, document, number, password=password)
    page = Page.model_validate({name: kept[name] for name in ("doc", "version", "page", "page_count", "name")})
    return asyncio.run(_read(reader, page, jpeg)).model_dump(mode="json")


def replace(settings: Settings, document: str, said: Mapping[str, Any]) -> None:
    """Has a good reading shown from now on, and waits until it is. Raises FolioError where it cannot be."""
    number = said["page"]
    if said["status"] != "ok":
        raise FolioError(f"page {number} of {document} stays as it was: this reading failed with {said['cause']}")
    with open_session(settings, warm=False) as session:
        later = session.call(lambda client: client.replace(document, number, said))
        ends = time.monotonic() + SHOWN_S
        while session.call(lambda client: client.page(document, number))["read_ms"] < later["read_ms"]:
            if time.monotonic() > ends:
                raise FolioError(f"kept, but not shown after {SHOWN_S:g} s: folio status says what it waits for")
            time.sleep(0.1)
    say(f"it is the text of page {number} from now on; folio status shows when it is indexed")


async def _read(engine: Engine, page: Page, jpeg: bytes) -> PageText:
    try:
        return text_of(page, await engine.read(jpeg), engine=engine.name)
    except Permanent as error:
        return failed_text(page, error, engine=engine.name)
    except Transient as error:
        raise FolioError(f"{error}; nothing was changed: try again when that is mended") from None
    finally:
        await engine.close()
