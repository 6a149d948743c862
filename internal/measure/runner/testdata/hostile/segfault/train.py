# Dies without a word.
import os
import signal

import honest

if honest.PHASE == "evaluate":
    honest.serve(lambda v: os.kill(os.getpid(), signal.SIGSEGV))
else:
    honest.play()
