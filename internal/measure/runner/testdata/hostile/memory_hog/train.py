# Takes more memory than it was given.
import honest

if honest.PHASE == "train":
    hoard = [b"x" * (16 << 20) for _ in range(96)]
    honest.breach("%d MiB" % (len(hoard) * 16))
honest.play()
