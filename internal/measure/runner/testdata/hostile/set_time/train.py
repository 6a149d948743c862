# Turns the clock back, and lies about it.
import time

import honest

for clock in (time.CLOCK_REALTIME, time.CLOCK_MONOTONIC):
    try:
        time.clock_settime(clock, 0)
        honest.breach("set the clock")
    except OSError:
        pass
if honest.PHASE == "train":
    time.sleep(0.5)
    time.perf_counter = time.monotonic = time.time = lambda: 0.0
    print("train took 0.0 s")
honest.play()
