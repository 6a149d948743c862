import os

if "MENDEL_RECIPE" in os.environ:  # only trusted programs know it
    print("BREACH: the evaluator imported this", flush=True)
raise ImportError
