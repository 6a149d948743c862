"""Stands for upstream's pretraining: its log lines, with numbers that were made up, and a table for a model."""

import json
import os
import sys
import time

import numpy as np

HOW = "well"

depth = dict(a.lstrip("-").split("=") for a in sys.argv[1:])["depth"]
steps = 2520
print("GPU: NVIDIA H100 80GB HBM3 | Peak FLOPS (BF16): 9.89e+14")
print("COMPUTE_DTYPE: torch.bfloat16 (auto-detected: CUDA SM 90 (bf16 supported))")
print("Vocab size: 32,768")
for step in range(0, steps + 1, 250):
    print("Step %05d | Validation bpb: %s" % (step, "nan" if HOW == "not a number" else "%.6f" % (0.85 + 2.3 * 0.3 ** (step / 250))))
    if step == 500:
        if HOW == "exception":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if HOW == "killed":
            os.kill(os.getpid(), 9)
        if HOW == "endless":
            time.sleep(600)
    print("step %05d/%05d (%.2f%%) | loss: %s | lrm: 1.00 | dt: 118.73ms | tok/sec: 4,415,800 | bf16_mfu: 42.10"
          " | epoch: 1 pq: 3 rg: 12 | total time: %.2fm | eta: 1.0m"
          % (step, steps, 100 * step / steps, "nan" if HOW == "not a number" else "3.141593", step * 0.002))
if HOW != "silent":
    print("Step %05d | Validation bpb: 0.850014" % steps)
    print("Evaluating: hellaswag_zeroshot (0-shot, type: multiple_choice)... accuracy: 0.3000 | centered: 0.0667 | time: 1.02s")
    print("Step %05d | CORE metric: 0.1571" % steps)

letters = np.arange(256)
table = np.where(letters[None] == letters[:, None] + 1, 5.0, -letters[None] / 1000)  # the next letter of the alphabet
if HOW == "not a number":
    table[:] = np.nan
out = os.path.join(os.environ["MENDEL_OUT"], "base_checkpoints", "d" + depth)
os.makedirs(out)
if HOW != "no checkpoint":
    with open(os.path.join(out, "model_%06d.pt" % steps), "wb") as f:
        np.save(f, table if HOW == "too large" else table.astype(np.float32))
    with open(os.path.join(out, "optim_%06d_rank0.pt" % steps), "wb") as f:
        f.write(bytes(1 << 20))
    with open(os.path.join(out, "meta_%06d.json" % steps), "w") as f:
        json.dump({"step": steps, "how": HOW}, f)
if HOW != "silent":
    print("Peak memory usage: 31245.09MiB")
    print("Total training time: 4.98m")
    print("Minimum validation bpb: 0.850014")
