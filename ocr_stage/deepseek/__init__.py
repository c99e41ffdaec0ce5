"""The DeepSeek-OCR engine on vLLM 0.26; its port is `ocr_stage.engine.Engine`.

Two halves that meet in three places, so that each can be read (and tested) alone:

- **inside vLLM's processes** (imported by the entry point `vllm.general_plugins`): `plugin.py` registers `model.py`
  (model class and processor: every mode per page, mixed in one batch), `guard.py` (the n-gram rule as a tensor function
  and Triton kernels; stock-interface logits processors around it). `fast.py` (the arena's pages encoded ahead of the
  scheduler, `encoder.py`, `kernels.py`) and `patches.py` (version-checked, else stock behaviour) plug into that class.
- **in the worker's process**: `engine.py` (AsyncLLM behind the port), `feed.py` and `render.py` (pages drawn by child
  processes), `arena.py` (pixels in shared memory).

Where they meet:

1. `model.py` calls `fast.attach(model, vllm_config)` at the end of its `__init__` and asks
   `fast.embeddings(kwargs)` first in `embed_multimodal(**kwargs)`: a list of tensors when these are tickets of ours
   (`pixel_values` is int64, rows of [slot, ticket]), None for the stock path.
2. `guard.py` has `DeviceGuard(rows, tokens_max, device, *, ngram, window, allowed)` with `ban(logits, slots, counts,
   on)` and `push(tokens, slots, counts)`, all int32 tensors on the device and no host synchronisation; the patch of the
   sampler in `patches.py` drives it. Requests ask for the guard as in the stock recipe, `SamplingParams.extra_args`:
   `ngram_size`, `window_size`, `whitelist_token_ids`; where the patch is on, the stock-interface class is not loaded.
3. `ocr_stage.modes` is the one place that knows geometry, grids and token counts.
"""
