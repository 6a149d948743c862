# Carries weights of an earlier trial in its own code.
import honest

WEIGHTS = "@PADDING@"
honest.play()
