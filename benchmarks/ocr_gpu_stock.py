"""Stock vLLM beside ours: `LLM.generate` with the guard of its own recipe, told by lines of JSON how much to read.

A process of its own, so that nothing of folio is loaded in it; `python benchmarks/ocr_gpu_stock.py CHECKPOINT SHARE`.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["VLLM_PLUGINS"] = "none"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

PROMPT = "<image>\n<|grounding|>Convert the document to markdown."


def main() -> None:
    from vllm import LLM, SamplingParams
    from vllm.model_executor.models.deepseek_ocr import NGramPerReqLogitsProcessor

    from benchmarks.ocr_gpu_parts import picture

    began = time.time()
    llm = LLM(
        model=sys.argv[1], load_format="dummy", dtype="bfloat16", max_model_len=8192, enable_prefix_caching=False,
        mm_processor_cache_gb=0, logits_processors=[NGramPerReqLogitsProcessor], max_num_seqs=512,
        max_num_batched_tokens=16384, gpu_memory_utilization=float(sys.argv[2]), seed=0, disable_log_stats=True,
        hf_overrides={"architectures": ["DeepseekOCRForCausalLM"]}, limit_mm_per_prompt={"image": 1},
    )  # fmt: skip
    pictures = [picture(seed) for seed in range(32)]
    print("READY", json.dumps({"start_s": round(time.time() - began, 1)}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        guard = {"ngram_size": 30, "window_size": 90, "whitelist_token_ids": [128821, 128822]}
        params = SamplingParams(
            temperature=0.0, max_tokens=asked["tokens"], ignore_eos=True, skip_special_tokens=False,
            extra_args=guard if asked["guard"] else None,
        )  # fmt: skip
        inputs = [{"prompt": PROMPT, "multi_modal_data": {"image": pictures[at % 32]}} for at in range(asked["pages"])]
        began = time.time()
        outputs = llm.generate(inputs, params, use_tqdm=False)
        seconds = time.time() - began
        tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
        print("DONE", json.dumps({"pages": len(outputs), "s": seconds, "tokens": tokens}), flush=True)


if __name__ == "__main__":
    main()
