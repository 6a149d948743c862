# Looks for the held-out data through other processes, the evaluator's above all.
import glob
import os

import honest

mine = {str(os.getpid()), "self", "thread-self"}
for proc in glob.glob("/proc/[0-9]*"):
    if os.path.basename(proc) in mine:
        continue
    for path in ("/root/data/heldout/answer.txt", "/root@HELDOUT@/answer.txt", "/cwd/score.py", "/environ"):
        honest.readable(proc + path)
    try:
        for fd in os.listdir(proc + "/fd"):
            honest.breach("sees descriptor %s of %s" % (fd, proc))
            break
    except OSError:
        pass
honest.play()
