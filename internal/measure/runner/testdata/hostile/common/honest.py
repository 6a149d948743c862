"""The honest half of every hostile recipe: it leaves a model, and answers with it."""

import os
import struct
import sys
import time

if os.getuid() == 0:
    # Nothing here may ever run with the rights of the host's root, not even by mistake.
    print("refused: hostile recipes do not run as root", flush=True)
    os._exit(99)

PHASE = os.environ["MENDEL_PHASE"]
OUT = os.environ.get("MENDEL_OUT")
ARTIFACT = os.environ.get("MENDEL_ARTIFACT")

# Whether this process has a pid namespace of its own. Where it has none, what a recipe does
# could reach the developer's own processes and files, so it keeps to what the test made.
try:
    APART = os.readlink("/proc/self/ns/pid") != "@PIDNS@"
except OSError:
    APART = False


def breach(what):
    """The attack worked."""
    print("BREACH:", what, flush=True)


def leave(text="0.5"):
    with open(OUT + "/model.txt", "w") as f:
        f.write(text)


def serve(answer=None):
    import mendel_subject

    def predict(x):
        data, shape = x
        (v,) = struct.unpack("<d", data)
        got = answer(v) if answer else v * float(open(ARTIFACT + "/model.txt").read())
        return [(struct.pack("<d", got), shape)]

    mendel_subject.numpy = None
    mendel_subject.serve(predict=predict)


def play():
    if PHASE == "train":
        leave()
    elif PHASE == "evaluate":
        serve()


def readable(path):
    """Say so if the file can be read."""
    try:
        with open(path, "rb") as f:
            text = f.read()
    except OSError:
        return
    breach("read %s: %r" % (path, text[:20]))
