# Replaces what the harness will run or trust after it.
import os

import honest

HOSTILE = "import mendel_evaluator\nmendel_evaluator.result({'error': 0, 'accuracy': 1})\n"
for path in ("/evaluator/score.py", "@BUNDLE@/evaluator/score.py", "@EVALUATOR@/score.py",
             "/mendel/mendel_evaluator.py", "/mendel/mendel_subject.py", "/recipe/train.py", "@BUNDLE@/tree/train.py"):
    for attempt in ("write", "replace", "remove"):
        try:
            if attempt == "write":
                os.chmod(path, 0o666)
                with open(path, "a") as f:
                    f.write("# changed\n")
            elif attempt == "replace":
                with open(path + ".new", "w") as f:
                    f.write(HOSTILE)
                os.replace(path + ".new", path)
            else:
                os.remove(path)
        except OSError:
            continue
        honest.breach("%s %s" % (attempt, path))
honest.play()
