# Looks for the held-out data through other processes, the evaluator's above all.
import glob
import os

import honest

for proc in glob.glob("/proc/[0-9]*"):
    if proc == "/proc/%d" % os.getpid():
        continue
    for path in ("/root/data/heldout/answer.txt", "/root@HELDOUT@/answer.txt", "/cwd/score.py", "/cwd/answer.txt"):
        honest.readable(proc + path)
    try:
        with open(proc + "/environ", "rb") as f:
            if b"MENDEL_RESULT" in f.read():
                honest.breach("the evaluator's environment")
    except OSError:
        pass
    try:
        for fd in os.listdir(proc + "/fd"):
            if "answer.txt" in os.readlink(proc + "/fd/" + fd):
                honest.readable(proc + "/fd/" + fd)
    except OSError:
        pass
honest.play()
