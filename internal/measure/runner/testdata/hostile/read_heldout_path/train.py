# Opens the held-out data and the evaluator by every name that they have.
import honest

for path in ("/data/heldout/answer.txt", "@HELDOUT@/answer.txt", "/evaluator/score.py", "@EVALUATOR@/score.py",
             "@BUNDLE@/evaluator/score.py", "@BUNDLE@/spec.json"):
    honest.readable(path)
honest.play()
