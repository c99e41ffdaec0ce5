"""What a call that takes its time waits for: said after two seconds, not when it has failed."""

import http.client
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from console.client import TIMEOUT_S, Client
from folio.errors import FolioError
from infra.lock import Address, owner_of

SLOW_S = 2.0
AGAIN_S = 1.0
ANSWER_S = 2.0


@contextmanager
def saying_why(address: Address, servers: str) -> Iterator[None]:
    """Say once on stderr what keeps an owner from answering. One that is slow and lacks nothing is left in peace."""
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(address, servers, over), name="saying-why", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def why(address: Address, servers: str) -> str:
    """What is away, in a sentence; empty when nothing is that we can see."""
    from infra.kafka_cluster import nobody_answers

    if silence := nobody_answers(servers):
        return f"Kafka at {servers}: {silence}"
    connection = http.client.HTTPConnection(address.host, address.port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/readyz")
        waiting = dict(json.loads(connection.getresponse().read())["waiting"])
    except ConnectionRefusedError:  # it has ended: whoever asked hears that by itself
        return ""
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return f"the folio process {address.pid} is busy or hangs: it has not said within {ANSWER_S:.0f} s how it is"
    finally:
        connection.close()
    return "; ".join(dict.fromkeys(map(str, waiting.values())))


def _watch(address: Address, servers: str, over: threading.Event) -> None:
    wait_s = SLOW_S
    while not over.wait(wait_s):
        wait_s = AGAIN_S
        reason = why(address, servers)
        if reason and not over.is_set():
            print(f"waiting, {TIMEOUT_S:.0f} s at most: {reason}", file=sys.stderr, flush=True)
            return


def missing(data: Path, servers: str) -> Iterator[str]:
    """With Kafka: who is not there that must be, so that what is unfinished goes on."""
    address = owner_of(data)
    if address is None:
        yield "no folio follows the log into this folder, so this is how it was: start folio run index, or api"
        return
    try:
        stages = Client(address).stages()["stages"]
    except FolioError as error:
        yield why(address, servers) or str(error)
        return
    yield from dict.fromkeys(stage["waits_for"] for stage in stages if not stage["ready"])
