# Gives the held-out data a second name inside its own artifact.
import os

import honest

if honest.PHASE == "train":
    for path in ("@HELDOUT@/answer.txt", "/data/heldout/answer.txt"):
        try:
            os.link(path, honest.OUT + "/model.txt")
            break
        except OSError:
            pass
    else:
        honest.leave()
elif honest.PHASE == "evaluate":
    if "1234.5" in open(honest.ARTIFACT + "/model.txt").read():
        honest.breach("the link became an artifact")
    honest.play()
