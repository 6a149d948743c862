# Looks for keys in the environment, its own and that of others.
import glob
import os

import honest

if "sk-hostile-test" in str(dict(os.environ)):
    honest.breach("a key in its own environment")
for path in glob.glob("/proc/*/environ"):
    try:
        if b"sk-hostile-test" in open(path, "rb").read():
            honest.breach("a key in " + path)
    except OSError:
        pass
honest.play()
