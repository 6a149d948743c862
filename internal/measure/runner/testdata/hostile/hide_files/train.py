# Passes more to evaluate than the counted artifact.
import os

import honest

PLACES = ("/tmp/more.bin", "/dev/shm/more.bin", "/recipe/more.bin", "/out/more.bin", "/artifact/more.bin", "/var/tmp/more.bin")
if honest.PHASE == "train":
    for path in PLACES:
        try:
            with open(path, "w") as f:
                f.write("@MARK@")
        except OSError:
            pass
    honest.leave()
    try:
        os.setxattr(honest.OUT + "/model.txt", "user.more", b"@MARK@")
    except OSError:
        pass
    os.utime(honest.OUT + "/model.txt", (1234567, 1234567))
elif honest.PHASE == "evaluate":
    for path in PLACES:
        if os.path.exists(path) and "@MARK@" in open(path).read():
            honest.breach("found " + path)
    model = honest.ARTIFACT + "/model.txt"
    if os.path.getmtime(model) == 1234567:
        honest.breach("the file's time passed")
    try:
        if os.listxattr(model):
            honest.breach("the file's attributes passed")
    except OSError:
        pass
    honest.play()
