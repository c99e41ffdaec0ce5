"""One engine and one server for all tests of this folder; they run in an environment that has vLLM (`make vllm`)."""

import asyncio
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

HERE = Path(__file__).parent
collect_ignore_glob = [] if importlib.util.find_spec("vllm") else ["test_*.py"]
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "2",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
}
ARGUMENTS: dict[str, Any] = {
    "dtype": "float32",
    "enable_prefix_caching": False,
    "enforce_eager": True,
    "load_format": "dummy",
    "max_model_len": 2048,
    "max_num_batched_tokens": 2048,
    "max_num_seqs": 8,
    "mm_processor_cache_gb": 0,
    "skip_mm_profiling": True,
}
"""Of every engine here; everything else is vLLM's own."""


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model, and the plugin that makes its tower small: vLLM's processes find it by this environment."""
    from tests.vllm.checkpoint import write

    folder = tmp_path_factory.mktemp("vllm")
    plugin = folder / "plugins" / "small_tower-0.dist-info"
    plugin.mkdir(parents=True)
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: small-tower\nVersion: 0\n")
    (plugin / "entry_points.txt").write_text("[vllm.general_plugins]\nsmall_tower = small_tower:register\n")
    version = f"{importlib.metadata.version('vllm-cpu')}+cpu"  # its command asks for the build's usual name
    usual = plugin.parent / f"vllm-{version}.dist-info"
    usual.mkdir()
    (usual / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
    places = [str(plugin.parent), str(HERE)]
    os.environ.update(ENVIRONMENT, PYTHONPATH=os.pathsep.join(places))
    sys.path.extend(places)
    return write(folder / "small")


class Beside:
    """An event loop in a thread: an engine lives in one loop, every test has its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any], *, seconds_max: float = 300) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds_max)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)


@pytest.fixture(scope="session")
def beside() -> Iterator[Beside]:
    running = Beside()
    yield running
    running.close()


@pytest.fixture(scope="session")
def engine(checkpoint: Path, beside: Beside, serving: "Serving") -> Iterator[Any]:
    """The real AsyncLLM with folio's plugin and guard. The server starts meanwhile."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    from ocr_stage.deepseek.asking import guard_class

    arguments = AsyncEngineArgs(
        model=str(checkpoint),
        logits_processors=[guard_class()],
        limit_mm_per_prompt={"image": 1},
        hf_overrides={"architectures": ["DeepseekOCRForCausalLM"]},
        disable_log_stats=True,
        **ARGUMENTS,
    )

    async def start() -> Any:
        return AsyncLLM.from_engine_args(arguments)

    async def stop() -> None:
        running.shutdown()
        await asyncio.sleep(0.2)  # its tasks end

    running = beside.run(start(), seconds_max=600)
    yield running
    beside.run(stop())


class Serving:
    """`vllm serve` on the small checkpoint, as an operator starts it."""

    def __init__(self, checkpoint: Path, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._checkpoint = checkpoint
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        from ocr_stage.deepseek.asking import guard_class

        overrides = json.dumps({"architectures": ["DeepseekOCRForCausalLM"]})
        flags = [
            *("--port", str(self.port), "--host", "127.0.0.1", "--served-model-name", "small"),
            *("--logits-processors", guard_class(), "--hf-overrides", overrides),
            *("--limit-mm-per-prompt", json.dumps({"image": 1}), "--no-enable-prefix-caching", "--enforce-eager"),
            *("--skip-mm-profiling", "--disable-uvicorn-access-log"),
        ]
        for name, value in ARGUMENTS.items():
            if not isinstance(value, bool):
                flags += [f"--{name.replace('_', '-')}", str(value)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [Path(sys.executable).with_name("vllm"), "serve", str(self._checkpoint), *flags],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """All its processes at once, as a machine that loses its power."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    async def ready(self, *, seconds_max: float = 600) -> None:
        end = time.monotonic() + seconds_max
        async with httpx.AsyncClient() as client:
            while time.monotonic() < end:
                assert self._process is not None
                assert self._process.poll() is None, self._log.read_text(errors="replace")[-4000:]
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get(f"http://127.0.0.1:{self.port}/health")).is_success:
                        return
                await asyncio.sleep(0.5)
        raise AssertionError(f"no answer in {seconds_max:g} s: {self._log.read_text(errors='replace')[-4000:]}")


@pytest.fixture(scope="session")
def serving(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    server = Serving(checkpoint, tmp_path_factory.mktemp("serve") / "log")
    server.start()
    yield server
    server.kill()
