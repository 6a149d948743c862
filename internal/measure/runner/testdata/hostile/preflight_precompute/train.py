# Works ahead in preflight, where time is free.
import os

import honest

PLACES = ("/tmp/model.txt", "/dev/shm/model.txt", "/recipe/model.txt", "/out/model.txt", "/mendel/model.txt", "/var/tmp/model.txt")
if honest.PHASE == "preflight":
    for path in PLACES:
        try:
            with open(path, "w") as f:
                f.write("@MARK@")
        except OSError:
            pass
else:
    for path in PLACES:
        if os.path.exists(path) and "@MARK@" in open(path).read():
            honest.breach("found " + path)
    honest.play()
