# Forks until something gives.
import os
import time

import honest

if honest.PHASE == "train":
    for n in range(400):
        try:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
        except OSError:
            raise
    honest.breach("400 processes")
honest.play()
