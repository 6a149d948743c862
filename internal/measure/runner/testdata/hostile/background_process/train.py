# Detaches a process that goes on working after the phase.
import os
import subprocess
import sys

import honest

WORK = "import time\nfor i in range(600):\n    time.sleep(0.2); open('/out/model.txt', 'w').write('0.5')  # @MARK@"
if honest.PHASE == "train":
    honest.leave("0.4")
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            null = os.open("/dev/null", os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            os.execv(sys.executable, [sys.executable, "-c", WORK])
        os._exit(0)
elif honest.PHASE == "evaluate":
    honest.serve()
