"""The vision tower of DeepSeek-OCR (SAM-B, CLIP-L, projector) for groups of equal pages, from pixels, as CUDA graphs.

The weights and the mathematics are vLLM's modules'; what differs is the order of the work:

- the canvases and all tiles of a group run as ONE matrix of tokens (only attention differs by the size of a view);
- relative positions come into attention from a small table: stock writes a [heads, N, N] bias to memory;
- windows are an index table read inside the kernel, not copies;
- u - 127.5 is exact in bfloat16, so pixels are scaled in the product's epilogue.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import triton
from torch import Tensor
from torch.nn import functional

from ocr_stage.deepseek import kernels
from ocr_stage.deepseek.tickets import Shape, Ticket, page_rows
from ocr_stage.modes import TILE, TILES_MAX, Grid, Mode

View = tuple[int, int, int]
"""(side in patches, how many of them, first row in the matrix of tokens)"""
PIXELS = 16
WINDOW = 14
HEAD = 64
FULL = {32: (2, 64), 40: (1, 64), 64: (1, 64), 80: (1, 128)}
"""Global attention by side of the view: (grid rows a key block holds, its width)."""
TABLE = {14: 32, 32: 128, 40: 128, 64: 128, 80: 256}
"""Room for the 2 * side - 1 relative positions of one axis."""
GROUPS = (1, 2, 4, 8)
CANVASES = tuple(sorted({mode.canvas for mode in Mode}))


def shapes() -> list[Shape]:
    """Every shape that a page can have: each canvas alone, and Gundam's with two to six tiles."""
    tiled = [Shape(Mode.GUNDAM.canvas, tiles) for tiles in range(2, TILES_MAX + 1)]
    return [Shape(canvas, 0) for canvas in CANVASES] + tiled


class Encoder:
    """Encodes groups of pages of one shape; groups of a size in `groups` run as graphs, captured by `capture`."""

    def __init__(self, model: Any, groups: Iterable[int] = GROUPS) -> None:
        sam, vision = model.sam_model, model.vision_model
        weight = sam.patch_embed.proj.weight
        self.device, self.dtype = weight.device, weight.dtype
        self.groups = sorted(groups)
        self.width, self.heads = weight.shape[0], sam.blocks[0].attn.num_heads
        self._sam, self._vision, self._projector = sam, vision, model.projector.layers
        self._patch_weight = weight.permute(0, 2, 3, 1).reshape(self.width, -1).t().contiguous()
        self._patch_bias = sam.patch_embed.proj.bias
        sides = sorted({canvas // PIXELS for canvas in (*CANVASES, TILE)})
        self._places = {s: sam.get_abs_pos(sam.pos_embed, s).reshape(s * s, -1).to(self.dtype) for s in sides}
        self._blocks = [(block, _relative(block, sides)) for block in sam.blocks]
        self._neck = sam.neck[0].weight.view(sam.neck[0].weight.shape[0], -1)
        self._convolutions = [
            layer.weight.to(memory_format=torch.channels_last) for layer in (sam.neck[2], sam.net_2, sam.net_3)
        ]
        self._clip_places, self._class = _clip_places(vision, sides, self.dtype)
        self._extra = torch.stack([model.image_newline, model.view_seperator]).to(self.dtype)
        self._tables: dict[tuple[Shape, int], dict[str, Tensor]] = {}
        self._rows: dict[tuple[int, int, int, Grid], Tensor] = {}
        self._graphs: dict[tuple[Shape, int], tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        most = self.groups[-1]
        self._canvas = torch.zeros(most * CANVASES[-1] ** 2 * 3, dtype=torch.uint8, device=self.device)
        self._tiles = torch.zeros(most * TILES_MAX * TILE**2 * 3, dtype=torch.uint8, device=self.device)

    def fit(self, count: int) -> int:
        """The largest group that `count` pages fill."""
        return max(size for size in self.groups if size <= max(count, self.groups[0]))

    @torch.inference_mode()
    def encode(self, pages: Sequence[Ticket], pixels: Sequence[Tensor]) -> list[Tensor]:
        """Embeddings [tokens, width of the language model] of each page, from its slot's bytes, on this stream."""
        shape, count = pages[0].shape, len(pages)
        canvas, tiles = self._inputs(shape, count)
        edge = 3 * shape.canvas**2
        for index, slot in enumerate(pixels):
            canvas[index].view(-1).copy_(slot[:edge], non_blocking=True)
            if shape.tiles:
                end = edge + 3 * shape.tiles * TILE**2
                tiles[index * shape.tiles : (index + 1) * shape.tiles].view(-1).copy_(slot[edge:end], non_blocking=True)
        if (shape, count) in self._graphs:
            graph, features = self._graphs[shape, count]
            graph.replay()
        else:
            features = self.forward(canvas, tiles)
        rows = [self._page_rows(page, index, count) for index, page in enumerate(pages)]
        return [features.index_select(0, row) for row in rows]

    def capture(self, wanted: Iterable[tuple[Shape, int]]) -> None:
        """Record graphs, the largest first, so that the smaller ones find their memory in its pool."""
        pool = None
        stream = torch.cuda.current_stream()
        for shape, count in sorted(wanted, key=lambda one: -one[1] * (one[0].canvas ** 2 + one[0].tiles * TILE**2)):
            inputs = self._inputs(shape, count)
            with torch.inference_mode():
                self.forward(*inputs)
                torch.cuda.synchronize()
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                    features = self.forward(*inputs)
            pool = graph.pool()
            self._graphs[shape, count] = (graph, features)

    @torch.inference_mode()
    def forward(self, canvas: Tensor, tiles: Tensor) -> Tensor:
        """uint8 [G, C, C, 3] and [T, 640, 640, 3] -> features: G canvases' rows, T tiles' rows, new line, separator."""
        shape, count = Shape(canvas.shape[1], tiles.shape[0] // canvas.shape[0]), canvas.shape[0]
        views = _views(shape, count)
        x = torch.cat([_patches(pixels) for pixels in (canvas, tiles) if pixels.shape[0]]).to(self.dtype).sub_(127.5)
        x = torch.addmm(self._patch_bias, x, self._patch_weight, alpha=1 / 127.5)
        for side, n, base in views:
            x[base : base + n * side * side].view(n, side * side, -1).add_(self._places[side])
        table = self._table(shape, count)
        seen = self._sam_features(x, views, table)
        clip = self._clip(seen, table)
        parts, at = [], 0
        for one in seen:
            n, length = one.shape[0], one.shape[1] + 1
            rows = clip[at : at + n * length].view(n, length, -1)[:, 1:]
            parts.append(torch.cat([rows, one], -1).view(n * (length - 1), -1))
            at += n * length
        features = functional.linear(torch.cat(parts), self._projector.weight, self._projector.bias)
        return torch.cat([features, self._extra])

    def _sam_features(self, x: Tensor, views: Sequence[View], table: dict[str, Tensor]) -> list[Tensor]:
        added = None
        for block, relative in self._blocks:
            h = _add_norm(x, added, block.norm1)
            qkv = functional.linear(h, block.attn.qkv.weight, block.attn.qkv.bias)
            seen = self._attend(qkv, block, relative, views, table)
            added = functional.linear(seen, block.attn.proj.weight, block.attn.proj.bias)
            h = _add_norm(x, added, block.norm2)
            h = _linear_gelu(h, block.mlp.lin1)
            added = functional.linear(h, block.mlp.lin2.weight, block.mlp.lin2.bias)
        x = functional.linear(x + added, self._neck)
        norm = self._sam.neck[1]
        x = functional.layer_norm(x, (x.shape[1],), norm.weight, norm.bias, norm.eps)
        return [self._shrink(x[base : base + n * side * side], n, side) for side, n, base in views]

    def _attend(
        self, qkv: Tensor, block: Any, relative: dict[int, Tensor], views: Sequence[View], table: Any
    ) -> Tensor:
        out = torch.empty(qkv.shape[0], self.width, device=qkv.device, dtype=qkv.dtype)
        sizes = (qkv.shape[1], self.width, self.heads, block.attn.scale)
        if block.window_size:
            kernels.window_attention(qkv, block.attn.qkv.bias, relative[WINDOW], table["windows"], out, sizes)
            return out
        for side, n, base in views:
            kernels.grid_attention(qkv, relative[side], out, (side, n, base), FULL[side], sizes)
        return out

    def _shrink(self, x: Tensor, n: int, side: int) -> Tensor:
        """The neck's convolutions: [n * side^2, 256] -> [n, (side / 4)^2, 1024]"""
        norm = self._sam.neck[3]
        x = x.view(n, side, side, -1).permute(0, 3, 1, 2)
        x = functional.conv2d(x, self._convolutions[0], padding=1).permute(0, 2, 3, 1)
        x = functional.layer_norm(x, (x.shape[-1],), norm.weight, norm.bias, norm.eps).permute(0, 3, 1, 2)
        for weight in self._convolutions[1:]:
            x = functional.conv2d(x, weight, stride=2, padding=1)
        return x.permute(0, 2, 3, 1).reshape(n, -1, x.shape[1])

    def _clip(self, seen: Sequence[Tensor], table: dict[str, Tensor]) -> Tensor:
        """[n, q, 1024] of each size of view -> all their rows after CLIP, each with its class token first."""
        parts = []
        for one in seen:
            first = self._class.expand(one.shape[0], 1, -1)
            parts.append((torch.cat([first, one], 1) + self._clip_places[one.shape[1]]).view(-1, one.shape[2]))
        x = _add_norm(torch.cat(parts), None, self._vision.pre_layrnorm)
        added = None
        for layer in self._vision.transformer.layers:
            h = _add_norm(x, added, layer.layer_norm1)
            attn = layer.self_attn
            qkv = functional.linear(h, attn.qkv_proj.weight, attn.qkv_proj.bias)
            out = torch.empty_like(h)
            kernels.plain_attention(qkv, out, table["starts"], table["lengths"], attn.scale, _longest(seen))
            added = functional.linear(out, attn.out_proj.weight, attn.out_proj.bias)
            h = _add_norm(x, added, layer.layer_norm2)
            h = _activate(functional.linear(h, layer.mlp.fc1.weight, layer.mlp.fc1.bias), quick=True)
            added = functional.linear(h, layer.mlp.fc2.weight, layer.mlp.fc2.bias)
        return x + added

    def _inputs(self, shape: Shape, count: int) -> tuple[Tensor, Tensor]:
        """The memory that graphs read."""
        side, tiles = shape.canvas, count * shape.tiles
        canvas = self._canvas[: count * side**2 * 3].view(count, side, side, 3)
        return canvas, self._tiles[: tiles * TILE**2 * 3].view(tiles, TILE, TILE, 3)

    def _table(self, shape: Shape, count: int) -> dict[str, Tensor]:
        if (shape, count) not in self._tables:
            windows, lengths = [], []
            for side, n, base in _views(shape, count):
                one = window_rows(side)
                windows += [torch.where(one >= 0, one + base + i * side * side, -1) for i in range(n)]
                lengths += n * [(side // 4) ** 2 + 1]
            starts = [sum(lengths[:i]) for i in range(len(lengths))]
            tables = {"windows": torch.cat(windows), "starts": torch.tensor(starts), "lengths": torch.tensor(lengths)}
            self._tables[shape, count] = {k: v.to(self.device, torch.int32) for k, v in tables.items()}
        return self._tables[shape, count]

    def _page_rows(self, page: Ticket, index: int, count: int) -> Tensor:
        key = (index, count, page.canvas, page.grid)
        if key not in self._rows:
            self._rows[key] = torch.tensor(page_rows(page, index, count)).to(self.device)
        return self._rows[key]


def window_rows(side: int, window: int = WINDOW) -> Tensor:
    """Rows of a side x side view in each of its windows [windows, window^2]; -1 where a window sticks out."""
    n = -(-side // window)
    at = torch.arange(n * window)
    rows = torch.where((at[:, None] < side) & (at < side), at[:, None] * side + at, -1)
    return rows.view(n, window, n, window).permute(0, 2, 1, 3).reshape(n * n, window * window)


def _views(shape: Shape, count: int) -> list[View]:
    side = shape.canvas // PIXELS
    views = [(side, count, 0)]
    if shape.tiles:
        views.append((TILE // PIXELS, count * shape.tiles, count * side * side))
    return views


def _longest(seen: Sequence[Tensor]) -> int:
    return max(one.shape[1] for one in seen) + 1


def _patches(pixels: Tensor) -> Tensor:
    n, side = pixels.shape[0], pixels.shape[1] // PIXELS
    cut = pixels.view(n, side, PIXELS, side, PIXELS, 3).permute(0, 1, 3, 2, 4, 5)
    return cut.reshape(n * side * side, PIXELS * PIXELS * 3)


def _relative(block: Any, sides: Sequence[int]) -> dict[int, Tensor]:
    """Relative positions of both axes, one table [2 * TABLE, 64] for each size of view; flipped: k - q + side - 1."""
    attn = block.attn
    tables = {}
    for side in (WINDOW,) if block.window_size else sides:
        room = TABLE[side]
        tables[side] = torch.zeros(2 * room, HEAD, device=attn.rel_pos_h.device, dtype=attn.rel_pos_h.dtype)
        for at, positions in ((0, attn.rel_pos_h), (room, attn.rel_pos_w)):
            tables[side][at : at + 2 * side - 1] = _resized(positions, 2 * side - 1).flip(0)
    return tables


def _resized(positions: Tensor, length: int) -> Tensor:
    if positions.shape[0] == length:
        return positions
    long = functional.interpolate(positions.float().t()[None], size=length, mode="linear")
    return long[0].t().to(positions.dtype)


def _clip_places(vision: Any, sides: Sequence[int], dtype: torch.dtype) -> tuple[dict[int, Tensor], Tensor]:
    """Positions [tokens + 1, width] by the number of a view's tokens, and the class token."""
    embeddings = vision.embeddings
    known = embeddings.position_embedding(embeddings.position_ids)
    places = {}
    for side in sides:
        tokens = (side // 4) ** 2
        places[tokens] = embeddings.get_abs_pos(known, tokens + 1).reshape(tokens + 1, -1).to(dtype)
    return places, embeddings.class_embedding.view(1, 1, -1).to(dtype)


def _add_norm(x: Tensor, added: Tensor | None, norm: Any) -> Tensor:
    """Add in place; returns the LayerNorm of the sum."""
    out = torch.empty_like(x)
    block = triton.next_power_of_2(x.shape[1])
    kernels.add_norm[(x.shape[0],)](
        x,
        x if added is None else added,
        norm.weight,
        norm.bias,
        out,
        x.shape[1],
        norm.eps,
        ADDS=added is not None,
        BLOCK=block,
        num_warps=4,
    )
    return out


def _linear_gelu(x: Tensor, layer: Any) -> Tensor:
    """GELU in the product's epilogue, in its tanh form: what that differs by is far below a step of bfloat16."""
    if x.is_cuda:
        return torch.ops.aten._addmm_activation(layer.bias, x, layer.weight.t(), use_gelu=True)
    return _activate(functional.linear(x, layer.weight, layer.bias), quick=False)


def _activate(x: Tensor, *, quick: bool) -> Tensor:
    kernels.activate[(triton.cdiv(x.numel(), 4096),)](x, x.numel(), QUICK=quick, BLOCK=4096, num_warps=8)
    return x
