"""Learn to forecast the tide: a linear model on features of the hour, fitted by gradient descent.

    python3 train.py            learn from $MENDEL_DATA/train, leave the model in $MENDEL_OUT
    python3 train.py --smoke    the same in a moment, on made-up heights: does it run at all?
    python3 train.py --serve    answer the evaluator's questions with the model in $MENDEL_ARTIFACT
"""

import csv
import json
import math
import os
import random
import sys

from features import features

LEARNING_RATE = 0.002
DECAY = 0.7  # of the learning rate, after each epoch
EPOCHS = 4
SHRINK = 0.001  # pull of the weights towards 0


def train(rows, epochs, seed):
    """Fit the weights by stochastic gradient descent, one row at a time."""
    source = random.Random(seed)
    examples = [(features(hour), height) for hour, height in rows]
    weights = [0.0] * len(examples[0][0])
    rate = LEARNING_RATE
    for epoch in range(epochs):
        source.shuffle(examples)
        loss = 0.0
        for x, height in examples:
            error = dot(weights, x) - height
            loss += error * error
            weights = [w - rate * (error * n + SHRINK * w) for w, n in zip(weights, x)]
        rate *= DECAY
        print("epoch %d rmse %.2f cm" % (epoch, math.sqrt(loss / len(examples))))
    return weights


def dot(a, b):
    return sum(m * n for m, n in zip(a, b))


def read(path):
    with open(path, newline="") as f:
        return [(int(row["hour"]), float(row["cm"])) for row in csv.DictReader(f)]


def serve():
    import mendel_subject

    with open(os.path.join(os.environ["MENDEL_ARTIFACT"], "model.json")) as f:
        weights = json.load(f)

    def forecast(hours):
        return {"heights": [dot(weights, features(hour)) for hour in hours]}

    mendel_subject.serve(forecast=forecast)


def main():
    seed = int(os.environ["MENDEL_SEED"])
    if "--serve" in sys.argv:
        return serve()
    if "--smoke" in sys.argv:
        return train([(hour, math.cos(hour)) for hour in range(48)], 1, seed)
    weights = train(read(os.path.join(os.environ["MENDEL_DATA"], "train", "tide.csv")), EPOCHS, seed)
    with open(os.path.join(os.environ["MENDEL_OUT"], "model.json"), "w") as f:
        json.dump([round(w, 4) for w in weights], f)


if __name__ == "__main__":
    main()
