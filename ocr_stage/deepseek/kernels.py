"""Triton kernels of the vision tower: attention with relative positions, add and LayerNorm, activations."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call,no-any-unimported"

from typing import Any

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)
QUICK_LOG2E = tl.constexpr(1.702 * 1.4426950408889634)
SQRT_HALF = tl.constexpr(0.7071067811865476)

Sizes = tuple[int, int, int, float]
"""Of a matrix q | k | v: its width, the width of each part, heads, scale."""


def window_attention(qkv: Any, bias: Any, relative: Any, windows: Any, out: Any, sizes: Sizes) -> None:
    """Attention inside windows given as rows; rows that stick out are the bias alone, as after padding with zeros."""
    import torch

    stride, width, heads, scale = sizes
    rows, room = qkv.shape[0], relative.shape[0]
    table = torch.empty(rows, heads, room, device=qkv.device, dtype=qkv.dtype)
    relative_kernel[(triton.cdiv(rows, 128), heads, 1)](
        qkv, relative, table, 0, rows, stride, HEADS=heads, P=room, BM=128, BP=room, num_warps=4
    )
    side = round(windows.shape[1] ** 0.5)
    window_kernel[(windows.shape[0], heads)](
        qkv, bias, table, windows, out, scale, stride, width, S=side, HEADS=heads, DIM=width, P=room,
        BM=64, BN=triton.next_power_of_2(side * side), num_warps=4, num_stages=1,
    )  # fmt: skip


def grid_attention(
    qkv: Any, relative: Any, out: Any, view: tuple[int, int, int], block: tuple[int, int], sizes: Sizes
) -> None:
    """Attention over whole views: `view` is (side, how many, first row), `block` (grid rows a key block, its width)."""
    import torch

    stride, width, heads, scale = sizes
    (side, count, base), (grid_rows, keys) = view, block
    rows, room = count * side * side, relative.shape[0]
    table = torch.empty(rows, heads, room, device=qkv.device, dtype=qkv.dtype)
    relative_kernel[(triton.cdiv(rows, 128), heads, room // 128)](
        qkv, relative, table, base, rows, stride, HEADS=heads, P=room, BM=128, BP=128, num_warps=4
    )
    grid_kernel[(triton.cdiv(side * side, 64), heads, count)](
        qkv, table, out, base, scale, stride, width, S=side, ROWS=grid_rows, HEADS=heads, DIM=width, P=room,
        BM=64, BN=keys, num_warps=4, num_stages=3,
    )  # fmt: skip


def plain_attention(qkv: Any, out: Any, starts: Any, lengths: Any, scale: float, longest: int) -> None:
    """Attention within sequences of rows."""
    width = out.shape[1]
    plain_kernel[(triton.cdiv(longest, 128), width // 64, starts.shape[0])](
        qkv, out, starts, lengths, scale, qkv.shape[1], width, DIM=width, BM=128, BN=64, num_warps=4, num_stages=2
    )


@triton.jit
def relative_kernel(
    qkv, table, out, base, count, stride, HEADS: tl.constexpr, P: tl.constexpr, BM: tl.constexpr, BP: tl.constexpr
):
    """out[m, h, :] = q[m, h] . table^T, table [P, 64]: the positions of rows, then of columns."""
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    h = tl.program_id(1)
    j = tl.program_id(2) * BP + tl.arange(0, BP)
    d = tl.arange(0, 64)
    inside = m < count
    q = tl.load(qkv + (base + m).to(tl.int64)[:, None] * stride + h * 64 + d[None, :], mask=inside[:, None], other=0.0)
    r = tl.load(table + j[None, :] * 64 + d[:, None])
    o = tl.dot(q, r).to(out.dtype.element_ty)
    tl.store(out + (m.to(tl.int64)[:, None] * HEADS + h) * P + j[None, :], o, mask=inside[:, None])


@triton.jit
def grid_kernel(
    qkv, table, out, base, scale, stride, out_stride, S: tl.constexpr, ROWS: tl.constexpr, HEADS: tl.constexpr,
    DIM: tl.constexpr, P: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """Every token of an S x S view looks at every other; a block of keys is ROWS whole rows of the view."""
    N: tl.constexpr = S * S
    view = tl.program_id(2)
    h = tl.program_id(1)
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    m_in = m < N
    d = tl.arange(0, 64)
    n = tl.arange(0, BN)
    first = base + view * N
    q_at = qkv + h * 64 + (first + m).to(tl.int64)[:, None] * stride + d[None, :]
    q = tl.load(q_at, mask=m_in[:, None], other=0.0)
    place = table + ((view * N + m).to(tl.int64) * HEADS + h) * P + (S - 1)
    down = place - m // S
    across = place + P // 2 - m % S
    n_in = n < ROWS * S
    bias_x = tl.load(across[:, None] + (n % S)[None, :], mask=m_in[:, None] & n_in[None, :], other=0.0).to(tl.float32)
    top = tl.full([BM], -1e30, tl.float32)
    total = tl.zeros([BM], tl.float32)
    acc = tl.zeros([BM, 64], tl.float32)
    for block in range((S + ROWS - 1) // ROWS):
        key = block * (ROWS * S) + n
        key_in = n_in & (key < N)
        offset = (first + key).to(tl.int64) * stride + h * 64
        k = tl.load(qkv + DIM + offset[None, :] + d[:, None], mask=key_in[None, :], other=0.0)
        s = tl.dot(q, k)
        bias = bias_x
        if ROWS == 1:
            bias += tl.load(down + block, mask=m_in, other=0.0).to(tl.float32)[:, None]
        else:
            for r in tl.static_range(ROWS):
                y = block * ROWS + r
                bias_y = tl.load(down + y, mask=m_in & (y < S), other=0.0).to(tl.float32)
                bias = tl.where((n // S == r)[None, :], bias + bias_y[:, None], bias)
        s = s * (scale * LOG2E) + bias * LOG2E
        if ROWS * S != BN or S % ROWS != 0:
            s = tl.where(key_in[None, :], s, -1e30)
        peak = tl.maximum(top, tl.max(s, 1))
        p = tl.exp2(s - peak[:, None])
        fade = tl.exp2(top - peak)
        total = total * fade + tl.sum(p, 1)
        v = tl.load(qkv + 2 * DIM + offset[:, None] + d[None, :], mask=key_in[:, None], other=0.0)
        acc = tl.dot(p.to(v.dtype), v, acc * fade[:, None])
        top = peak
    acc = (acc / total[:, None]).to(out.dtype.element_ty)
    tl.store(out + (first + m).to(tl.int64)[:, None] * out_stride + h * 64 + d[None, :], acc, mask=m_in[:, None])


@triton.jit
def window_kernel(
    qkv, qkv_bias, table, windows, out, scale, stride, out_stride, S: tl.constexpr, HEADS: tl.constexpr,
    DIM: tl.constexpr, P: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """Tokens of one window look at each other; windows[w, S * S] are rows, or -1.

    Keys and values are loaded once: a program for each 64 queries took twice as long.
    """
    N: tl.constexpr = S * S
    w = tl.program_id(0)
    h = tl.program_id(1)
    d = tl.arange(0, 64)
    n = tl.arange(0, BN)
    n_row = tl.load(windows + w * N + n, mask=n < N, other=-1)
    n_in = n_row >= 0
    n_at = tl.where(n_in, n_row, 0).to(tl.int64) * stride + h * 64
    k = tl.load(qkv + DIM + n_at[None, :] + d[:, None], mask=n_in[None, :], other=0.0)
    k = tl.where(n_in[None, :], k, tl.load(qkv_bias + DIM + h * 64 + d)[:, None])
    v = tl.load(qkv + 2 * DIM + n_at[:, None] + d[None, :], mask=n_in[:, None], other=0.0)
    v = tl.where(n_in[:, None], v, tl.load(qkv_bias + 2 * DIM + h * 64 + d)[None, :])
    # bias[m, n] = down[m, n // S] + across[m, n % S], as one product with a constant 0/1 matrix: gathers took 1.7 x
    j = tl.arange(0, 32)
    column = tl.where(j < 16, j, P // 2 + j - 16)
    rows = (j[:, None] < 16) & (n[None, :] // S == j[:, None])
    columns = (j[:, None] >= 16) & (n[None, :] % S == j[:, None] - 16)
    chosen = (rows | columns).to(qkv.dtype.element_ty)
    for block in range((N + BM - 1) // BM):
        m = block * BM + tl.arange(0, BM)
        m_row = tl.load(windows + w * N + m, mask=m < N, other=-1)
        m_in = m_row >= 0
        m_at = tl.where(m_in, m_row, 0).to(tl.int64)
        q = tl.load(qkv + h * 64 + m_at[:, None] * stride + d[None, :], mask=m_in[:, None], other=0.0)
        place = table + (m_at * HEADS + h) * P + (S - 1)
        back = tl.where(j < 16, m[:, None] // S, m[:, None] % S)
        near = m_in[:, None] & ((j % 16) < S)[None, :]
        t = tl.load(place[:, None] + column[None, :] - back, mask=near, other=0.0)
        s = tl.dot(q, k) * (scale * LOG2E) + tl.dot(t, chosen) * LOG2E
        s = tl.where((n < N)[None, :], s, -1e30)
        p = tl.exp2(s - tl.max(s, 1)[:, None])
        total = tl.sum(p, 1)
        acc = (tl.dot(p.to(v.dtype), v) / total[:, None]).to(out.dtype.element_ty)
        tl.store(out + m_at[:, None] * out_stride + h * 64 + d[None, :], acc, mask=m_in[:, None])


@triton.jit
def plain_kernel(
    qkv, out, starts, lengths, scale, stride, out_stride, DIM: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr
):
    """Tokens of one sequence look at each other, without positions."""
    sequence = tl.program_id(2)
    h = tl.program_id(1)
    first = tl.load(starts + sequence)
    count = tl.load(lengths + sequence)
    if tl.program_id(0) * BM >= count:
        return
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    m_in = m < count
    d = tl.arange(0, 64)
    q_at = qkv + h * 64 + (first + m).to(tl.int64)[:, None] * stride + d[None, :]
    q = tl.load(q_at, mask=m_in[:, None], other=0.0)
    top = tl.full([BM], -1e30, tl.float32)
    total = tl.zeros([BM], tl.float32)
    acc = tl.zeros([BM, 64], tl.float32)
    for start in range(0, count, BN):
        n = start + tl.arange(0, BN)
        n_in = n < count
        offset = (first + n).to(tl.int64) * stride + h * 64
        k = tl.load(qkv + DIM + offset[None, :] + d[:, None], mask=n_in[None, :], other=0.0)
        s = tl.where(n_in[None, :], tl.dot(q, k) * (scale * LOG2E), -1e30)
        peak = tl.maximum(top, tl.max(s, 1))
        p = tl.exp2(s - peak[:, None])
        fade = tl.exp2(top - peak)
        total = total * fade + tl.sum(p, 1)
        v = tl.load(qkv + 2 * DIM + offset[:, None] + d[None, :], mask=n_in[:, None], other=0.0)
        acc = tl.dot(p.to(v.dtype), v, acc * fade[:, None])
        top = peak
    acc = (acc / total[:, None]).to(out.dtype.element_ty)
    tl.store(out + (first + m).to(tl.int64)[:, None] * out_stride + h * 64 + d[None, :], acc, mask=m_in[:, None])


@triton.jit
def add_norm(x, y, weight, bias, out, width, eps, ADDS: tl.constexpr, BLOCK: tl.constexpr):
    """Add y to x in place (where it adds), out = LayerNorm(x); one row a program."""
    row = tl.program_id(0).to(tl.int64) * width
    d = tl.arange(0, BLOCK)
    inside = d < width
    a = tl.load(x + row + d, mask=inside, other=0.0)
    if ADDS:
        b = tl.load(y + row + d, mask=inside, other=0.0)
        a = (a.to(tl.float32) + b.to(tl.float32)).to(x.dtype.element_ty)
        tl.store(x + row + d, a, mask=inside)
    f = a.to(tl.float32)
    centred = tl.where(inside, f - tl.sum(f, 0) / width, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, 0) / width + eps)
    w = tl.load(weight + d, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(bias + d, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row + d, (centred * scale * w + b).to(out.dtype.element_ty), mask=inside)


@triton.jit
def activate(x, count, QUICK: tl.constexpr, BLOCK: tl.constexpr):
    """GELU in place: x * sigmoid(1.702 x) where quick, else by the error function."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < count
    f = tl.load(x + i, mask=inside, other=0.0).to(tl.float32)
    g = f / (1.0 + tl.exp2(-f * QUICK_LOG2E)) if QUICK else 0.5 * f * (1.0 + tl.erf(f * SQRT_HALF))
    tl.store(x + i, g.to(x.dtype.element_ty), mask=inside)
