"""Our vision tower beside vLLM's own modules on the same made-up weights of a real scale: errors, and times as graphs.

Needs a GPU and vLLM; `python -m benchmarks.ocr_gpu_encoder`. Errors are relative (norm of the difference), against the
modules in bfloat16 and, for SAM's part, both against float32: ours must be no farther from it than stock.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.update(VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_PLUGINS="none")
os.environ.setdefault("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")


def main() -> int:
    from vllm import LLM

    from benchmarks.ocr_gpu_parts import write_checkpoint

    llm = LLM(
        model=str(write_checkpoint(Path(tempfile.mkdtemp()) / "model")), load_format="dummy", dtype="bfloat16",
        max_model_len=2048, max_num_seqs=8, max_num_batched_tokens=2048, gpu_memory_utilization=0.3,
        enforce_eager=True, skip_mm_profiling=True, mm_processor_cache_gb=0, limit_mm_per_prompt={"image": 1},
        hf_overrides={"architectures": ["DeepseekOCRForCausalLM"]}, disable_log_stats=True,
    )  # fmt: skip
    (worst,) = llm.apply_model(probe)
    return int(worst > 0.04)


def probe(model: Any) -> float:
    import torch

    from benchmarks.ocr_gpu_parts import say
    from ocr_stage.deepseek.encoder import Encoder, shapes
    from ocr_stage.deepseek.fast import PlainEncoder
    from ocr_stage.deepseek.tickets import Shape

    torch.manual_seed(0)
    redraw(model)
    encoder, plain = Encoder(model), PlainEncoder(model)
    worst = 0.0
    cards = [(shape, grid) for shape in shapes() for grid in grids(shape)]
    for shape, grid in cards:
        tickets, pixels = some(shape, grid, 2)
        ours, stock = encoder.encode(tickets, pixels), plain.encode(tickets, pixels)
        errors = [relative(one, other) for one, other in zip(ours, stock, strict=True)]
        worst = max(worst, *errors)
        say(canvas=shape.canvas, grid=grid, tokens=len(ours[0]), error=[round(error, 4) for error in errors])
    against_float(model, encoder)
    timed = [Shape(1024, 6), Shape(1024, 0), Shape(512, 0), Shape(640, 0), Shape(1280, 0)]
    began = time.time()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        encoder.capture([(shape, count) for shape in timed for count in (1, 4, 8)])
        torch.cuda.synchronize()
        say(captured=15, seconds=round(time.time() - began, 1), gib=round(torch.cuda.memory_reserved() / 2**30, 2))
        for shape in timed:
            row = {}
            for count in (1, 4, 8):
                graph, _ = encoder._graphs[shape, count]
                row[count] = round(milliseconds(graph.replay) / count, 2)
            say(canvas=shape.canvas, tiles=shape.tiles, graph_ms_a_page=row)
        tickets, pixels = some(Shape(1024, 6), (2, 3), 4)
        ours = encoder.encode(tickets, pixels)
        torch.cuda.synchronize()
    stock = plain.encode(tickets, pixels)
    say(graph_error=[round(relative(one, other), 4) for one, other in zip(ours, stock, strict=True)])
    say(stock_ms_a_page=round(milliseconds(lambda: plain.encode(tickets[:1], pixels[:1]), 5), 2))
    profile(encoder._graphs[Shape(1024, 6), 4][0].replay, 4)
    return worst


def grids(shape: Any) -> list[tuple[int, int]]:
    from ocr_stage.modes import ALONE, GRIDS

    return [grid for grid in GRIDS if grid[0] * grid[1] == shape.tiles] if shape.tiles else [ALONE]


def some(shape: Any, grid: tuple[int, int], count: int) -> tuple[list[Any], list[Any]]:
    """Smooth pictures, not white noise."""
    import torch

    from ocr_stage.deepseek.render import SLOT_BYTES
    from ocr_stage.deepseek.tickets import Ticket

    noise = torch.randn(count, SLOT_BYTES // 48 + 1).repeat_interleave(48, 1)[:, :SLOT_BYTES]
    pixels = (noise * 50 + 127).clamp(0, 255).to(torch.uint8)
    return [Ticket(at, at + 1, shape.canvas, grid) for at in range(count)], list(pixels)


def redraw(model: Any) -> None:
    """Dummy weights are tiny: errors would not show."""
    import torch

    with torch.no_grad():
        for part in (model.sam_model, model.vision_model, model.projector):
            for name, weight in part.named_parameters():
                noise = torch.randn_like(weight)
                if weight.dim() == 1:
                    weight.copy_(1 + 0.1 * noise if name.endswith("weight") else 0.05 * noise)
                elif "rel_pos" in name or "pos" in name or "class" in name:
                    weight.copy_(0.25 * noise)
                else:
                    weight.copy_(noise * (1.5 / weight[0].numel() ** 0.5))
        for one in (model.image_newline, model.view_seperator):
            one.copy_(torch.randn_like(one))


def against_float(model: Any, encoder: Any) -> None:
    import copy

    import torch

    from benchmarks.ocr_gpu_parts import say
    from ocr_stage.deepseek.tickets import Shape

    exact = copy.deepcopy(model.sam_model).float()
    _, (slot, *_) = some(Shape(1024, 0), (1, 1), 1)
    picture = slot[: 3 * 1024**2].view(1, 1024, 1024, 3).cuda()
    floats = (picture.float() - 127.5).div(127.5).permute(0, 3, 1, 2)
    with torch.inference_mode():
        truth = exact(floats).flatten(2).permute(0, 2, 1)[0]
        stock = model.sam_model(floats.bfloat16()).flatten(2).permute(0, 2, 1)[0]
        kept: list[Any] = []
        clip = encoder._clip
        encoder._clip = lambda seen, table: (kept.append(seen), clip(seen, table))[1]
        encoder.forward(picture, picture.new_zeros(0, 640, 640, 3))
        encoder._clip = clip
    errors = {"stock": relative(stock, truth), "ours": relative(kept[0][0][0], truth)}
    say(sam_error_to_float32={name: round(error, 4) for name, error in errors.items()})


def relative(one: Any, other: Any) -> float:
    return float((one.float() - other.float()).norm() / other.float().norm())


def milliseconds(run: Callable[[], Any], count: int = 10) -> float:
    import torch

    for _ in range(2):
        run()
    torch.cuda.synchronize()
    began = time.time()
    for _ in range(count):
        run()
    torch.cuda.synchronize()
    return (time.time() - began) / count * 1000


def profile(run: Callable[[], Any], pages: int, rows: int = 14) -> None:
    import torch

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
        run()
        torch.cuda.synchronize()
    found: Sequence[Any] = sorted(seen.key_averages(), key=lambda one: -one.device_time_total)
    for one in found[:rows]:
        print(f"  {one.key[:70]:70} x{one.count:<4} {one.device_time_total / 1000 / pages:.3f} ms a page")


if __name__ == "__main__":
    sys.exit(main())
