"""The DeepSeek-OCR engine on vLLM 0.26; its port is `ocr_stage.model.Model`.

Two halves that meet in three places, so that each can be read (and tested) alone. Importing this package, or
`engine.py`, needs neither vLLM nor torch.

- **inside vLLM's processes** (imported by the entry point `vllm.general_plugins`): `plugin.py` registers `model.py`
  (the model class: every mode per page, mixed in one step, equal shapes encoded together); `processor.py` makes the
  tensors of a mode, which a request names in `mm_processor_kwargs={"mode": "base"}`, and counts placeholders from
  them; `guard.py` (the n-gram rule as a tensor function, and the guard's history on the device) and `guard_v1.py`,
  `guard_v2.py` (stock-interface logits processors around it). `fast.py` (the arena's pages encoded ahead of the
  scheduler by `encoder.py` and `kernels.py`; `waiting.py` says which go together, `streams.py` runs them beside
  decoding, `admission.py` says when and how many join the running batch) and `patches.py` (version-checked, else stock
  behaviour; `guard_runner.py` drives the guard, `plain.py` is a step in which nothing but tokens comes) plug into that
  class.
- **in the worker's process**: `engine.py` (the model behind the port), `launch.py` (what vLLM is started with),
  `talk.py` (vLLM itself, imported when it starts), `feed.py` and `render.py` (pages drawn by child processes),
  `arena.py` (pixels in shared memory; `tickets.py` says what lies where), `asking.py` (a request's parameters, and
  the probe that shows at the start that the guard is on).

Where they meet:

1. `model.py` calls `fast.attach(model, vllm_config)` at the end of its `__init__` and asks
   `fast.embeddings(kwargs)` first in `embed_multimodal(**kwargs)`: a list of tensors when these are tickets of ours
   (`pixel_values` is int64, rows of [slot, ticket]), None for the stock path.
2. `guard.py` has `DeviceGuard(rows, tokens_max, device, *, ngram, window, allowed)` with `ban(logits, slots, counts,
   on)` and `push(tokens, slots, counts)`, all int32 tensors on the device and no host synchronisation; the patch of the
   sampler in `patches.py` drives it. Requests ask for the guard as in the stock recipe, `SamplingParams.extra_args`:
   `ngram_size`, `window_size`, `whitelist_token_ids`; where the patch is on, the stock-interface class is not loaded.
3. `ocr_stage.modes` is the one place that knows geometry, grids and token counts.

`asking.py`: `extra_args(guard)`, `sampling(...)`, `guard_class(v2=...)` for `logits_processors=[...]`, and
`async verify_guard(generate)`. `ocr_stage/remote.py` asks the same over HTTP.
"""
