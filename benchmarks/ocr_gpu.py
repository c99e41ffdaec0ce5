"""DeepSeek-OCR on a GPU: pages per second from Page records on a log to PageText on a log, beside stock vLLM.

The real architecture with made-up weights (a checkpoint is written on the spot), A4 at 150 dpi as JPEG, a forced
number of tokens a page, the n-gram guard on: speed is real, text is noise. Stock is `LLM.generate` with its own guard,
fed with pictures that are decoded already; it and ours take turns, the median counts. Must reach: 5 times stock.

Parts (`--parts`): smoke (company, bad input, cancelling), compare, memory
(fed from memory), guard (on and off in turn), modes (each mode, then mixed), decode (text only), kernels (how busy the
card is, by the profiler), small (memory capped).
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import ocr_gpu_kernels
from benchmarks.ocr_gpu_parts import Watched, pages, say, write_checkpoint
from folio import topics
from folio.log import Record
from folio.records import Page
from folio.stage import StageLoop
from infra.folder_blobs import FolderBlobs
from infra.sqlite_log import SqliteLog
from ocr_stage.deepseek.engine import DeepSeekModel
from ocr_stage.deepseek.launch import GIB, EngineSettings, small
from ocr_stage.engine import Reading
from ocr_stage.model import Ask, Guard
from ocr_stage.modes import Mode
from ocr_stage.stage import OcrStage

os.environ.setdefault("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")  # the profiler is sent into the engine's process
MUST_REACH, GOAL = 5.0, 7.0
VERSION = 1_760_000_000_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("ours", "stock"), default="ours", help="stock: only stock's figures")
    parser.add_argument("--parts", default="smoke,compare,memory,guard,modes,decode")
    parser.add_argument("--model", default="", help="a checkpoint's folder; made up when empty")
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--mode-pages", type=int, default=3000, help="of each run of the part modes")
    parser.add_argument("--modes", default=",".join(Mode), help="of the part modes")
    parser.add_argument("--stock-pages", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=600)
    parser.add_argument("--sequences", type=int, default=768)
    parser.add_argument("--share", type=float, default=0.9, help="of the card's memory, ours")
    parser.add_argument("--stock-share", type=float, default=0.0, help="of the card's memory, beside ours; 0: no stock")
    parser.add_argument("--cards", default="8,12,16", help="GB, for the part small")
    parser.add_argument("--set", nargs="*", default=[], help="settings of the engine, name=JSON")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no part after this")
    parser.add_argument("--out", type=Path, default=Path("ocr_gpu.json"))
    asked = parser.parse_args()
    return asyncio.run(Bench(asked).run())


class Mine:
    """The model as the stage's engine, with one mode."""

    name = "deepseek-ocr"

    def __init__(self, model: DeepSeekModel, ask: Ask) -> None:
        self._model, self._ask = model, ask
        self.tidy_s = 0.0

    async def read(self, image: bytes) -> Reading:
        output = await self._model.ask(image, self._ask)
        began = time.perf_counter()
        reading = Reading.of(output)
        self.tidy_s += time.perf_counter() - began
        return reading

    async def close(self) -> None:
        return


class Bench:
    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.began = time.monotonic()
        self.folder = Path(tempfile.mkdtemp(prefix="folio-ocr-gpu-"))
        self.checkpoint = asked.model or str(write_checkpoint(self.folder / "model"))
        self.pages = pages()
        self.facts: dict[str, Any] = {"commit": commit(), "asked": {k: str(v) for k, v in vars(asked).items()}}
        changes = {name: json.loads(value) for name, _, value in (one.partition("=") for one in asked.set)}
        self.settings = EngineSettings(
            model=self.checkpoint, memory_share=asked.share,
            sequences=asked.sequences, forced_tokens=asked.tokens,
            **{"load_format": "auto" if asked.model else "dummy", **changes},
        )  # fmt: skip
        self.model = DeepSeekModel(self.settings, page_seconds_max=900)
        self.stock: subprocess.Popen[str] | None = None

    async def run(self) -> int:
        parts = self.asked.parts.split(",")
        try:
            if self.asked.stock_share or self.asked.engine == "stock":
                self.start_stock(self.asked.stock_share or 0.9)
            if self.asked.engine == "stock":
                self.note("stock", await asyncio.to_thread(self.stock_run, self.asked.stock_pages))
                return 0
            if parts != ["small"]:
                began = time.monotonic()
                await self.model.warm()
                self.note("start_s", round(time.monotonic() - began, 1))
            for part in parts:
                if time.monotonic() - self.began > self.asked.seconds:
                    say(skipped=part)
                    continue
                try:
                    await getattr(self, part)()
                except Exception as error:
                    self.note(f"{part} failed", repr(error)[:500])
                    import traceback

                    traceback.print_exc()
        finally:
            with suppress(Exception):
                await self.model.close()
            if self.stock is not None:
                self.stock.kill()
        ratio = self.facts.get("compare", {}).get("ratio")
        return 0 if ratio is None or ratio >= MUST_REACH else 1

    def note(self, name: str, fact: Any) -> None:
        self.facts[name] = fact
        say(**{name: fact, "at_s": round(time.monotonic() - self.began)})
        self.asked.out.write_text(json.dumps(self.facts, indent=1))

    def start_stock(self, share: float) -> None:
        script = Path(__file__).with_name("ocr_gpu_stock.py")
        self.stock = subprocess.Popen(
            [sys.executable, str(script), self.checkpoint, str(share)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "VLLM_PLUGINS": "none"},
        )  # fmt: skip
        self.note("stock started", self.stock_says("READY"))
        self.stock_run(16, tokens=16)

    def stock_says(self, word: str) -> Any:
        assert self.stock is not None
        assert self.stock.stdout is not None
        for line in self.stock.stdout:
            if line.startswith(word):
                return json.loads(line.removeprefix(word))
        raise RuntimeError("stock vLLM ended")

    def stock_run(self, count: int, *, tokens: int = 0, guard: bool = True) -> dict[str, float]:
        assert self.stock is not None
        assert self.stock.stdin is not None
        print(
            json.dumps({"pages": count, "tokens": tokens or self.asked.tokens, "guard": guard}),
            file=self.stock.stdin,
            flush=True,
        )
        done = self.stock_says("DONE")
        return {"pages": count, "s": round(done["s"], 2), "pages_s": round(count / done["s"], 2)}

    async def smoke(self) -> None:
        """The same page reads the same alone and in company, bad input ends alone, every place is free again.

        Made-up weights say the same of every page: that pages are told apart is shown in tests/vllm, by one that can.
        """
        jobs = [(page, mode) for mode in Mode for page in self.pages[:3]]
        ask = {mode: Ask(mode=mode, tokens_max=32) for mode in Mode}
        alone = [(await self.model.ask(page, ask[mode])).text for page, mode in jobs]
        crowd = [*jobs, *[(b"no picture", Mode.BASE)] * 3]
        running = [asyncio.create_task(self.model.ask(page, ask[mode])) for page, mode in crowd]
        cancelled = asyncio.create_task(self.model.ask(self.pages[9], Ask(tokens_max=4000)))
        await asyncio.sleep(0.5)
        cancelled.cancel()
        found = await asyncio.gather(*running, return_exceptions=True)
        texts = [getattr(one, "text", repr(one)[:60]) for one in found]
        same = sum(one == other for one, other in zip(alone, texts, strict=False))
        long = await asyncio.gather(*(self.model.ask(page, Ask(tokens_max=300)) for page in self.pages[:4]))
        assert same == len(jobs), "a page reads otherwise in company"
        assert all("corrupt" in text for text in texts[len(jobs) :]), texts[len(jobs) :]
        assert self.model.feed is not None
        assert self.model.feed.slots_free == self.settings.slots
        self.note(
            "smoke",
            {
                "pages": len(jobs), "same in company": same,
                "bad": texts[len(jobs) :],
                "cancelled": (await asyncio.gather(cancelled, return_exceptions=True))[0].__class__.__name__,
                "slots free": self.model.feed.slots_free,
                "slots": self.settings.slots, "tokens": [one.tokens for one in long], "gauges": self.model.gauges,
            },
        )  # fmt: skip

    async def compare(self) -> None:
        """Log to log, in turn with stock."""
        await self.from_memory(max(64, self.asked.sequences // 2), Ask(), tokens=32)
        ours, stock = [], []
        for _ in range(self.asked.repeats):
            if self.stock is not None:
                stock.append(await asyncio.to_thread(self.stock_run, self.asked.stock_pages))
                say(stock=stock[-1])
            ours.append(await self.log_to_log(self.asked.pages))
            say(ours=ours[-1])
        medians = [statistics.median(run["pages_s"] for run in runs) if runs else 0.0 for runs in (ours, stock)]
        ratio = round(medians[0] / medians[1], 2) if medians[1] else None
        self.note("compare", {"ours": ours, "stock": stock, "pages_s": medians, "ratio": ratio})

    async def memory(self) -> None:
        """The same pages without a log."""
        self.note("memory", await self.from_memory(self.asked.pages, Ask()))

    async def guard(self) -> None:
        """On and off in turn, fed from memory."""
        runs: dict[str, list[float]] = {"on": [], "off": []}
        for name in ("on", "off", "off", "on"):
            ask = Ask() if name == "on" else Ask(guard=Guard(ngram=0, window=0))
            run = await self.from_memory(max(min(1000, self.asked.pages), self.asked.pages // 2), ask)
            runs[name].append(run.get("steady_tokens_s", run["pages_s"]))
        on, off = (statistics.mean(runs[name]) for name in ("on", "off"))
        self.note("guard", {**runs, "cost_pct": round(100 * (1 - on / off), 2)})

    async def modes(self) -> None:
        """Each mode alone, then all of them mixed: the time expected is the sum of their own."""
        count = self.asked.mode_pages
        order = [Mode(name) for name in self.asked.modes.split(",")]
        rates = {}
        for mode in order:
            run = await self.from_memory(count, Ask(mode=mode))
            rates[mode.value] = run["pages_s"]
            say(mode=mode, **run)
        if len(order) == 1:
            self.note("modes", {"pages_s": rates})
            return
        mixed = await self.from_memory(count, [Ask(mode=order[at % len(order)]) for at in range(count)])
        expected = count / sum(count / len(order) / rate for rate in rates.values())
        reached = round(100 * mixed["pages_s"] / expected, 1)
        self.note("modes", {"pages_s": rates, "mixed": mixed, "expected": round(expected, 2), "reached_pct": reached})

    async def decode(self) -> None:
        """What decoding alone could do: prompts of the same length, all text; then pages of one token."""
        assert self.model._talk is not None
        talk = self.model._talk
        count = 2 * self.asked.sequences

        async def text(at: int, tokens: int) -> None:
            ids = [300 + (at * 7919 + place * 104729) % 100000 for place in range(938)]
            params = talk.params(Ask(tokens_max=tokens), {"prompt_token_ids": ids})
            asked = await talk.engine.add_request(f"text-{tokens}-{at}", {"prompt_token_ids": ids}, params)
            await asked.get()

        found = {}
        for name, tokens in (("whole", self.asked.tokens), ("prompt", 1)):
            began = time.monotonic()
            await asyncio.gather(*(text(at, tokens) for at in range(count)))
            found[f"text_{name}_s"] = round(count / (time.monotonic() - began), 2)
        one = await self.from_memory(self.asked.sequences, Ask(), tokens=1)
        found["pages_of_one_token_s"], found["encode_alone_ms"] = one["pages_s"], one["encode_ms"]
        self.note("decode", found)

    async def kernels(self) -> None:
        """The profiler's word on how busy the card is, in the middle of a run."""
        assert self.model._talk is not None
        engine = self.model._talk.engine
        run = asyncio.create_task(self.from_memory(self.asked.mode_pages, Ask()))
        while self.model.gauges["running"] < 0.9 * self.model.gauges["window"] or not self.model.gauges["window"]:
            await asyncio.sleep(0.5)
        await asyncio.sleep(self.asked.tokens / 60)  # what began together has begun to end
        await engine.collective_rpc(ocr_gpu_kernels.record, args=(3.0,))
        found: dict[str, Any] = {}
        while not found:
            await asyncio.sleep(1.0)
            [found] = await engine.collective_rpc(ocr_gpu_kernels.told)
        self.note("kernels", {"profiler": found, "run": await run})

    async def small(self) -> None:
        """What fits on cards of 8, 12 and 16 GB, each mode."""
        rows = []
        for gigabytes in map(int, self.asked.cards.split(",")):
            settings = replace(small(self.settings, gigabytes * GIB), memory_bytes=gigabytes * GIB, renderers=8)
            model = DeepSeekModel(settings, page_seconds_max=900)
            try:
                await model.warm()
            except Exception as error:
                rows.append({"card_gb": gigabytes, "error": str(error)[:300]})
                say(small=rows[-1])
                continue
            self.model = model
            for mode in Mode:
                count = max(32, 3 * settings.sequences)
                run = await self.from_memory(count, Ask(mode=mode))
                facts = {key: run[key] for key in ("pages_s", "preemptions")}
                rows.append({"card_gb": gigabytes, "mode": mode.value, "at_once": settings.sequences, **facts})
                say(small=rows[-1])
            await model.close()
        self.note("small", rows)

    async def from_memory(self, count: int, asks: Ask | Sequence[Ask], *, tokens: int = 0) -> dict[str, float]:
        places = asyncio.Semaphore(self.model.settings.pages_at_once)
        started = 0

        async def one(at: int) -> int:
            nonlocal started
            async with places:
                started += 1
                ask = asks if isinstance(asks, Ask) else asks[at]
                image = self.pages[at % len(self.pages)]
                output = await self.model.ask(image, replace(ask, tokens_max=tokens or self.asked.tokens))
                Reading.of(output)
                return output.tokens

        watched = Watched(lambda: self.model.gauges, lambda: started < count, self.model.settings.sequences)
        async with watched.during():
            began = time.monotonic()
            done = await asyncio.gather(*(one(at) for at in range(count)))
            seconds = time.monotonic() - began
        run = {"pages": count, "s": round(seconds, 2), "pages_s": round(count / seconds, 2), "tokens": sum(done)}
        return {**run, **watched.summary()}

    async def log_to_log(self, count: int) -> dict[str, Any]:
        """From the first read to the commit of the last page; appending the pages is not in it."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            blobs = FolderBlobs(Path(name) / "blobs")
            async with SqliteLog.open(Path(name) / "log.sqlite", blobs, partitions=4) as log:
                await self.fill(log, count)
                return await self.read_log(log, blobs, count)

    async def fill(self, log: SqliteLog, count: int) -> None:
        for start in range(0, count, 64):
            records = []
            for at in range(start, min(start + 64, count)):
                page = Page(doc=f"default/book-{at % 97}", version=VERSION, page=at // 97 + 1)  # type: ignore[arg-type]
                records.append(Record(key=f"{page.doc}/{page.page}", value=self.pages[at % 32], headers=page.headers()))
            await log.append(topics.PAGES, records)

    async def read_log(self, log: SqliteLog, blobs: FolderBlobs, count: int) -> dict[str, Any]:
        engine = Mine(self.model, Ask())
        stage = OcrStage(engine, blobs, keep_images=False, pages_at_once=self.settings.pages_at_once).stage
        loop, stop = StageLoop(stage, log), asyncio.Event()
        feed = self.model.feed
        assert feed is not None
        before, cpu = dict(feed.seconds), time.process_time()
        watched = Watched(
            lambda: self.model.gauges, lambda: loop.meter.took + len(loop._running) < count, self.settings.sequences
        )
        async with watched.during():
            began = time.monotonic()
            running = asyncio.create_task(loop.run(stop))
            while await log.lag(stage.name, topics.PAGES) and not running.done():
                await asyncio.sleep(0.05)
            seconds = time.monotonic() - began
        stop.set()
        await running
        texts = await log.lag("nobody", topics.TEXTS)
        return {
            "pages": count, "texts": texts, "s": round(seconds, 2), "pages_s": round(count / seconds, 2),
            "tokens_s": round(count * self.asked.tokens / seconds), "dead": loop.meter.dead, **watched.summary(),
            "decode_image_cpu_ms": round(1000 * (feed.seconds["decode"] - before["decode"]) / count, 2),
            "draw_cpu_ms": round(1000 * (feed.seconds["draw"] - before["draw"]) / count, 2),
            "tidy_ms": round(1000 * engine.tidy_s / count, 3),
            "worker_cpu_ms": round(1000 * (time.process_time() - cpu) / count, 2),
        }  # fmt: skip


def commit() -> str:
    with suppress(OSError):
        found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
        if found.returncode == 0:
            return found.stdout.strip()
    return os.environ.get("COMMIT", "unknown")


if __name__ == "__main__":
    sys.exit(main())
