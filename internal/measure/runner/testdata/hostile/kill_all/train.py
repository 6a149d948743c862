# Kills whatever it can.
import os
import signal

import honest

for pid in [@VICTIM@, os.getppid(), 1]:
    try:
        os.kill(pid, signal.SIGKILL)
        if pid == @VICTIM@:
            honest.breach("killed it")
    except OSError:
        pass
try:
    os.kill(-1, signal.SIGKILL)
except OSError:
    pass
honest.play()
