# Leaves a link to the held-out data where its artifact should be.
import os

import honest

if honest.PHASE == "train":
    os.symlink("@HELDOUT@/answer.txt", honest.OUT + "/model.txt")
elif honest.PHASE == "evaluate":
    honest.breach("the link became an artifact")
    honest.play()
