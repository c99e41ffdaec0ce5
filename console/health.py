"""Health for whoever watches a process that has no API: alive, ready, and its figures, in a thread of its own."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from infra.working import Worker

SILENT_S_MAX = 60.0
"""A process that has not come round for so long is not alive."""


def alive(worker: Worker) -> tuple[int, dict[str, object]]:
    """200 while its loop turns and none of its stages has stopped."""
    failed, silent_s = worker.failed.done(), worker.silent_s
    status = "failed" if failed else "silent" if silent_s > SILENT_S_MAX else "ok"
    return (200 if status == "ok" else 503), {"status": status}


def ready(worker: Worker) -> tuple[int, dict[str, object]]:
    """200 while nothing that it needs is away; else what waits for what."""
    waiting = worker.waiting
    return (503 if waiting else 200), {"ready": not waiting, "waiting": waiting}


@contextmanager
def health(worker: Worker, listening: socket) -> Iterator[None]:
    """Answer /healthz, /readyz and /metrics on a socket that listens, for as long as the context lasts."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers = {"/healthz": alive, "/readyz": ready}
            if self.path in answers:
                status, said = answers[self.path](worker)
                self._send(status, "application/json", json.dumps(said).encode())
            elif self.path == "/metrics":
                self._send(200, CONTENT_TYPE_LATEST, generate_latest())
            else:
                self._send(404, "application/json", b'{"detail": "/healthz, /readyz and /metrics are here"}')

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Not a line for every probe."""

    server = ThreadingHTTPServer(listening.getsockname()[:2], Answer, bind_and_activate=False)
    server.socket.close()
    server.socket = listening
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="health", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
