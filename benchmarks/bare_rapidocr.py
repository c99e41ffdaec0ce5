"""RapidOCR and nothing else, with its own defaults but one thread: the reference that `pipeline_speed` starts.

``python -m benchmarks.bare_rapidocr PICTURE ...`` loads, reads the first picture, says so, waits for a line on stdin,
reads all pictures, prints the CPU-seconds that this took.
"""

import sys
import time


def main() -> int:
    from rapidocr import RapidOCR

    one_thread = {
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        "Global.log_level": "critical",
    }
    engine = RapidOCR(params=one_thread)
    pictures = sys.argv[1:]
    engine(pictures[0])
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.process_time()
    for picture in pictures:
        engine(picture)
    print(time.process_time() - began, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
