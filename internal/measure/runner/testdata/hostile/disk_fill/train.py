# Fills the disk.
import os

import honest

if honest.PHASE == "train":
    for place in (honest.OUT, os.environ["TMPDIR"]):
        try:
            with open(place + "/fill", "wb") as f:
                for _ in range(200):
                    f.write(bytes(1 << 20))
                    f.flush()
        except OSError:
            if place == honest.OUT:
                raise
            continue
        honest.breach("200 MiB in " + place)
honest.play()
