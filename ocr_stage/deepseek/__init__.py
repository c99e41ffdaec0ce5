"""DeepSeek-OCR on vLLM: what runs inside vLLM's processes, and the engine that feeds it.

Nothing here imports vLLM or torch before it is used, so that every other command starts without them. Who asks whom:

- `plugin.register()` is what vLLM calls in each of its processes (entry point `vllm.general_plugins`). It registers a
  model class for `DeepseekOCRForCausalLM` by name: `model:OcrModes`, or the class that the variable `DEEPSEEK_OCR_MODEL`
  names, which the in-process engine sets before it starts vLLM (a subclass of `OcrModes` that takes tickets for pixels
  in shared memory, and gives any other input to its parent).
- `processor.py`: pictures to tensors for each mode, chosen by the request's `mm_processor_kwargs={"mode": "base"}`;
  placeholders are counted from the tensors made. `model.py`: `OcrModes`, mixed modes in one step, equal shapes together.
- `ngram.py`: the rule of the n-gram guard on tensors, `ban_repeats(logits, history, counts, ...)`, with no vLLM in sight.
  `guard.py`: the rule inside vLLM: `guard_of(use_v2)` is the class name for `logits_processors=[...]`,
  `sampling(...)` the parameters of a request, `verify_guard(generate)` the probe that an engine runs before it is ready.
- `engine.py` (the port `ocr_stage.engine.Engine`), `feed.py`, `arena.py`, `encoder.py`: the in-process engine on a GPU.
- `ocr_stage/remote.py` reads over HTTP from any server that speaks OpenAI's protocol, ours or a stock one.
"""
