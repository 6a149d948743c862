# Waits for the evaluator to lose patience.
import time

import honest

if honest.PHASE == "evaluate":
    honest.serve(lambda v: time.sleep(3600))
else:
    honest.play()
