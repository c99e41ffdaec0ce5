"""How long the card really computes: kernels of the engine's process, recorded for seconds while it reads.

`record` and `told` run inside that process, by vLLM's `collective_rpc`; its own cost is in the figures.
"""

import threading
import time
from collections import defaultdict
from typing import Any

_FOUND: dict[str, Any] = {}


def record(worker: Any, seconds: float) -> None:
    """Begin, beside the steps; `told` has the result a little after `seconds`."""
    _FOUND.clear()
    threading.Thread(target=_record, args=(seconds,), daemon=True).start()


def told(worker: Any) -> dict[str, Any]:
    """Empty until it is there: share of the time with a kernel running, and milliseconds a second of each stream."""
    return dict(_FOUND)


def _record(seconds: float) -> None:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as recorded:
        time.sleep(seconds)
    assert recorded.profiler is not None
    events = recorded.profiler.kineto_results.events()
    kernels = sorted(
        (event.start_ns(), event.start_ns() + event.duration_ns(), event.device_resource_id(), event.name())
        for event in events
        if "CUDA" in str(event.device_type()) and event.duration_ns() > 0
    )
    _FOUND.update(summary(kernels))


def summary(kernels: list[tuple[int, int, int, str]]) -> dict[str, Any]:
    """Of kernels by (start, end, stream, name), in nanoseconds and by their start."""
    if not kernels:
        return {"kernels": 0}
    began, ended = kernels[0][0], max(kernel[1] for kernel in kernels)
    busy, until = 0, began
    by_stream: defaultdict[int, int] = defaultdict(int)
    by_name: defaultdict[str, int] = defaultdict(int)
    for start, end, stream, name in kernels:
        busy += max(0, end - max(start, until))
        until = max(until, end)
        by_stream[stream] += end - start
        by_name[name.partition("<")[0].partition("(")[0][-60:]] += end - start
    whole = ended - began
    largest = sorted(by_name.items(), key=lambda one: -one[1])[:16]
    return {
        "kernels": len(kernels),
        "recorded_s": round(whole / 1e9, 3),
        "busy_pct": round(100 * busy / whole, 2),
        "streams_ms_a_second": {str(stream): round(1000 * spent / whole, 1) for stream, spent in by_stream.items()},
        "largest_ms_a_second": {name: round(1000 * spent / whole, 1) for name, spent in largest},
    }
