# Writes the result itself, wherever it might be read from.
import os

import honest

RESULT = '{"error": 0, "accuracy": 1}'
for path in ("/result/result.json", "/out/result.json", "/tmp/result.json", "/artifact/result.json", "result.json",
             "/evaluator/result.json", "@BUNDLE@/result.json", "@BUNDLE@/lease.json", "@BUNDLE@/progress.json"):
    try:
        with open(path, "w") as f:
            f.write(RESULT)
    except OSError:
        continue
    if path.startswith("@BUNDLE@") or path.startswith("/result"):
        honest.breach("wrote " + path)
if "MENDEL_RESULT" in os.environ:
    honest.breach("knows where the result goes")
if honest.PHASE == "train":
    honest.leave()
elif honest.PHASE == "evaluate":
    honest.serve(lambda v: 0.0)
