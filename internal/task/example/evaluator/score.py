"""Ask the recipe for heights that it has never seen, and measure how far off it is.

The evaluator holds the answers; the recipe's process gets hours and nothing else. A reply that
is late, or not what was asked for, ends the trial as the recipe's crash.
"""

import csv
import math
import os

from mendel_evaluator import connect, result


def main():
    # Only one of the two is mounted: certify while a finding is certified, otherwise heldout.
    data = os.environ["MENDEL_DATA"]
    split = "certify" if os.path.isdir(os.path.join(data, "certify")) else "heldout"
    with open(os.path.join(data, split, "tide.csv"), newline="") as f:
        rows = [(int(row["hour"]), float(row["cm"])) for row in csv.DictReader(f)]

    subject = connect()
    # A short list of numbers travels as a plain value. Images, tokens or logits go as arrays:
    # logits = subject.call("logits", images, expect=[("f4", (450, 10))], deadline=5.0)
    _, reply = subject.call("forecast", expect_meta=True, deadline=5.0, hours=[hour for hour, _ in rows])
    subject.close()

    heights = [float(h) for h in reply["heights"]]
    if len(heights) != len(rows) or not all(map(math.isfinite, heights)):
        raise ValueError("the recipe did not answer each question with a number")
    squares = [(h - cm) ** 2 for h, (_, cm) in zip(heights, rows)]
    result({"rmse": math.sqrt(sum(squares) / len(squares)), "worst": math.sqrt(max(squares))})


if __name__ == "__main__":
    main()
