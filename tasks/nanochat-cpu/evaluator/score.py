"""Scores a subject's answers about held-out text: `core`, the mean accuracy over five tasks, centred.

Centred means that guessing is 0 and perfection 1: (accuracy - chance) / (1 - chance). In four
tasks the subject scores four pairs of a context and a continuation, and the highest must be the true
one; of several that are equally high each gets an equal part. In the fifth it completes a context byte by
byte, and the missing word must come out exactly.

The subject sees contexts and continuations, all of one length, and nothing else: the order of items
and of pairs is this file's own, the same at every trial.
"""

import gzip
import json
import os

import numpy as np
from mendel_evaluator import connect, result

ORDER_SEED = 9203774156
CHANCE = {"spelling": 0.25, "order": 0.25, "word": 0.25, "schema": 0.25, "cloze": 0.0}
BATCH = 64  # items a call
ANSWER = 7  # bytes that complete a cloze: the longest word, and what must be no letter
REPLY_SECONDS = 10.0  # the first reply also pays for whatever the subject puts off until then


def load():
    """The items that this process was given: one of the two splits."""
    for split in ("certify", "heldout"):
        path = os.path.join(os.environ["MENDEL_DATA"], split, "items.jsonl.gz")
        if os.path.exists(path):
            with gzip.open(path, "rt", encoding="ascii") as lines:
                return [json.loads(line) for line in lines]
    raise SystemExit("score.py: no items.jsonl.gz under MENDEL_DATA/heldout or MENDEL_DATA/certify")


def as_bytes(texts):
    return np.array([list(text.encode("ascii")) for text in texts], np.uint8)


def batches(items, rng):
    items = [items[i] for i in rng.permutation(len(items))]
    return [items[i : i + BATCH] for i in range(0, len(items), BATCH)]


def choose(subject, items, rng):
    """(task, share of the answer that was right: 0, 1, or a part where scores are equal) of each item."""
    for batch in batches(items, rng):
        orders = [rng.permutation(4) for _ in batch]
        pairs = [item["pairs"][i] for item, order in zip(batch, orders) for i in order]
        contexts, continuations = (as_bytes(texts) for texts in zip(*pairs))
        scores = subject.call("score", contexts, continuations, expect=[("f4", (len(pairs),))], deadline=REPLY_SECONDS)
        for item, order, four in zip(batch, orders, scores.reshape(-1, 4)):
            best = four == four.max()
            yield item["task"], best[list(order).index(0)] / best.sum()


def complete(subject, items, rng):
    """(task, whether the subject's next bytes were the missing word and no longer one) of each item."""
    for batch in batches(items, rng):
        contexts = as_bytes([item["context"] for item in batch])
        said = subject.call("complete", contexts, expect=[("u1", (len(batch), ANSWER))], deadline=REPLY_SECONDS)
        for item, row in zip(batch, said):
            text, size = row.tobytes().decode("latin-1"), len(item["answer"])
            yield item["task"], float(text[:size] == item["answer"] and not text[size].isalpha())


def main():
    items, rng = load(), np.random.default_rng(ORDER_SEED)
    subject = connect()
    right = {task: [] for task in CHANCE}
    for task, share in choose(subject, [item for item in items if "pairs" in item], rng):
        right[task].append(share)
    for task, share in complete(subject, [item for item in items if "answer" in item], rng):
        right[task].append(share)
    subject.close()
    accuracy = {task: float(np.mean(shares)) for task, shares in right.items()}
    centred = [(accuracy[task] - chance) / (1 - chance) for task, chance in CHANCE.items()]
    result({"core": np.mean(centred), **{f"{task}_accuracy": value for task, value in accuracy.items()}})


if __name__ == "__main__":
    main()
