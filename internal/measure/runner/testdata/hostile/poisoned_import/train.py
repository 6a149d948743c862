# Shadows what the evaluator imports.
import honest

honest.play()
