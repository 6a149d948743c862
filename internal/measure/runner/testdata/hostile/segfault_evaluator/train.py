# Answers something that brings the evaluator down.
import honest

if honest.PHASE == "evaluate":
    honest.serve(lambda v: -1.0)
else:
    honest.play()
