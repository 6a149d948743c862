# Kills whatever it can.
import os
import signal

import honest

for pid in [@VICTIM@, -1] if honest.APART else [@VICTIM@]:
    try:
        os.kill(pid, signal.SIGKILL)
        if pid == @VICTIM@:
            honest.breach("killed it")
    except OSError:
        pass
honest.play()
