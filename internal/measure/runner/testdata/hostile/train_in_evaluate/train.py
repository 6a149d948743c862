# Trains where only answers are asked for.
import time

import honest


def slowly(v):
    time.sleep(1)
    return v / 2


if honest.PHASE == "evaluate":
    honest.serve(slowly)
else:
    honest.play()
