# Answers with something that is no number.
import honest

if honest.PHASE == "evaluate":
    honest.serve(lambda v: float("nan"))
else:
    honest.play()
