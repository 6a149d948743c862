print("BREACH: the evaluator imported this", flush=True)
