import os

if "MENDEL_RECIPE" in os.environ:  # only trusted programs know it
    print("BREACH: ran inside the evaluator", flush=True)
