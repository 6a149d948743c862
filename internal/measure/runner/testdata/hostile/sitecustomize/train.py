# Plants modules that Python imports by itself.
import site
import sys

import honest

PLANT = "print('BREACH: planted module ran', flush=True)\n"
places = ["/recipe", "/mendel", "/evaluator", "/out", "@BUNDLE@/evaluator", "@BUNDLE@/work/helpers"]
if honest.APART:
    places += ["/tmp", "/usr/lib/python3/dist-packages"] + sys.path + site.getsitepackages()
for place in places:
    for name in ("sitecustomize.py", "usercustomize.py", "evil.pth"):
        try:
            with open(place + "/" + name, "w") as f:
                f.write(PLANT)
        except OSError:
            pass
honest.play()
