# Puts the questions into an exception.
import honest


def leak(v):
    raise ValueError("question %r" % v)


if honest.PHASE == "evaluate":
    honest.serve(leak)
else:
    honest.play()
