"""The Triton kernels against plain torch, in Triton's interpreter: no GPU is needed, and none is used."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("triton")
ROOT = Path(__file__).parents[2]
START = """
    import torch, triton
    from torch.nn import functional as f
    from ocr_stage.deepseek import kernels
    torch.manual_seed(0)
    heads, width = 1, 64
    def attention(qkv, bias=0):
        q, k, v = qkv.view(-1, 3, heads, 64).permute(1, 2, 0, 3)
        return ((q @ k.transpose(-1, -2) * 0.125 + bias).softmax(-1) @ v).permute(1, 0, 2).reshape(-1, width)
    def positions(qkv, down, across, side):
        q = qkv.view(-1, 3, heads, 64)[:, 0].permute(1, 0, 2)
        at = torch.arange(side * side)
        y = (at // side)[:, None] - (at // side) + side - 1
        x = (at % side)[:, None] - (at % side) + side - 1
        return torch.einsum("hnd,nkd->hnk", q, down[y]) + torch.einsum("hnd,nkd->hnk", q, across[x])
    def table(down, across, room):
        both = torch.zeros(2 * room, 64)
        both[: len(down)], both[room : room + len(across)] = down.flip(0), across.flip(0)
        return both
    def same(one, other):
        assert torch.allclose(one, other, atol=2e-5), (one - other).abs().max()
"""
CASES = {
    "add_norm": """
        x, y, w, b = torch.randn(3, 96), torch.randn(3, 96), torch.randn(96), torch.randn(96)
        total, out = x + y, torch.empty(3, 96)
        kernels.add_norm[(3,)](x, y, w, b, out, 96, 1e-6, ADDS=True, BLOCK=128)
        same(out, f.layer_norm(total, (96,), w, b, 1e-6)); same(x, total)
    """,
    "activate": """
        x = torch.randn(1000)
        one, quick = x.clone(), x.clone()
        kernels.activate[(1,)](one, 1000, QUICK=False, BLOCK=1024)
        kernels.activate[(1,)](quick, 1000, QUICK=True, BLOCK=1024)
        same(one, f.gelu(x)); same(quick, x * torch.sigmoid(1.702 * x))
    """,
    "plain": """
        qkv, out = torch.randn(53, 192), torch.zeros(53, 64)
        kernels.plain_attention(qkv, out, torch.tensor([0, 33]), torch.tensor([33, 20]), 0.125, 33)
        same(out, torch.cat([attention(qkv[:33]), attention(qkv[33:])]))
    """,
    "windows": """
        down, across, bias = torch.randn(27, 64) * 0.1, torch.randn(27, 64) * 0.1, torch.randn(192)
        qkv, out = torch.randn(256, 192), torch.zeros(256, 64)
        at = torch.arange(28)
        rows = torch.where((at[:, None] < 16) & (at < 16), at[:, None] * 16 + at, -1)
        rows = rows.view(2, 14, 2, 14).permute(0, 2, 1, 3).reshape(4, 196)
        kernels.window_attention(qkv, bias, table(down, across, 32), rows.int(), out, (192, 64, 1, 0.125))
        wanted = torch.zeros(256, 64)
        for row in rows:
            here = torch.where((row >= 0)[:, None], qkv[row.clamp_min(0)], bias)
            wanted[row[row >= 0]] = attention(here, positions(here, down, across, 14))[row >= 0]
        same(out, wanted)
    """,
    "grid": """
        side, base = 10, 3
        down, across = torch.randn(19, 64) * 0.1, torch.randn(19, 64) * 0.1
        for block in ((1, 64),):  # several rows a block: the interpreter cannot
            qkv, out = torch.randn(base + 2 * side * side, 192), torch.zeros(base + 2 * side * side, 64)
            kernels.grid_attention(qkv, table(down, across, 64), out, (side, 2, base), block, (192, 64, 1, 0.125))
            views = [qkv[base + at * side**2 : base + (at + 1) * side**2] for at in range(2)]
            same(out[base:], torch.cat([attention(one, positions(one, down, across, side)) for one in views]))
            assert not out[:base].any()
    """,
}


@pytest.mark.parametrize("case", list(CASES))
def test_a_kernel_computes_what_torch_does(case):
    script = textwrap.dedent(START) + textwrap.dedent(CASES[case])
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
