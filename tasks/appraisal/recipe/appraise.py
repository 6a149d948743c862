"""Appraises houses: boosted regression trees on the logarithm of the price, with NumPy alone.

    appraise.py          learn from $MENDEL_DATA/train, leave $MENDEL_OUT/model.npz
    appraise.py --serve  load $MENDEL_ARTIFACT/model.npz and appraise what the evaluator shows
    appraise.py --smoke  a few trees on made-up houses, no data needed

Read from main() upwards. A house is a row of numbers (columns NUMBERS) and a row of kinds (columns KINDS,
small whole numbers). A model is a dictionary of arrays.
"""

import os
import sys

import numpy as np

NUMBERS = "built area beds baths halfbaths rooms garage_area lot frontage depth sold east north".split()
KINDS = "stories wall garage".split()

# Features: what is known of a house
AGE = False  # adds the age when it was sold, in years
RATIOS = False  # adds area per room and living area per lot
DIRECTIONS = 2  # of the compass along which the place of a house is measured
CELL = 0.0  # side in metres of squares whose average price per area is a feature; 0 for none
CELL_PRIOR = 10.0  # houses' worth of the average over all squares in each square's average

# Model: what one tree can say
BINS = 16  # values that a column can take, at most 256
DEPTH = 3
MIN_HOUSES = 50  # on each side of a split
SHRINKAGE = 5.0  # houses' worth of "no change" in each leaf

# Training: how trees are added up
TREES = 60
LEARNING_RATE = 0.1
FINAL_RATE_FRACTION = 1.0  # where the linear decay of the learning rate ends
RESIDUAL_CLIP = 5.0  # largest residual, in logarithms, that a tree is asked to mend
ROWS = 0.5  # part of the houses that each tree is grown on
COLUMNS = 0.5  # part of the features that each tree may ask about
ENSEMBLE = 1  # independent sequences of trees whose answers are averaged


def squares(numbers):
    """The square in which each house stands, as one whole number."""
    place = np.floor(numbers[:, [NUMBERS.index("east"), NUMBERS.index("north")]] / CELL).astype(np.int64)
    return place[:, 0] * 10000 + place[:, 1]


def averages(cells, values, asked):
    """Mean of the values in each square that is asked for, drawn towards the mean of all."""
    known, where = np.unique(cells, return_inverse=True)
    total = np.bincount(where, values) + CELL_PRIOR * values.mean()
    mean = total / (np.bincount(where) + CELL_PRIOR)
    at = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return np.where(known[at] == asked, mean[at], values.mean())


def price_level(numbers, log_price):
    """Log price per area: what is averaged over a neighbourhood."""
    return log_price - np.log(np.maximum(numbers[:, NUMBERS.index("area")], 1))


def neighbourhood(numbers, log_price, asked=None):
    """Average price level around the houses that are asked for, or around the known ones themselves.

    Around a known house only the houses of other folds count: its own price must not tell.
    """
    level, cells = price_level(numbers, log_price), squares(numbers)
    if asked is not None:
        return averages(cells, level, squares(asked))
    fold = np.arange(len(numbers)) % 5
    out = np.empty(len(numbers))
    for k in range(5):
        out[fold == k] = averages(cells[fold != k], level[fold != k], cells[fold == k])
    return out


def features(numbers, kinds, around):
    """A matrix (houses, features) of what a tree may ask about."""
    value = dict(zip(NUMBERS, numbers.T.astype(np.float64)))
    columns = [value[name] for name in NUMBERS[:-2]]
    for k in range(DIRECTIONS):
        angle = np.pi * k / DIRECTIONS
        columns.append(value["east"] * np.cos(angle) + value["north"] * np.sin(angle))
    columns += list(kinds.T.astype(np.float64))
    if AGE:
        columns.append(1993 + value["sold"] - value["built"])
    if RATIOS:
        columns.append(value["area"] / np.maximum(value["rooms"], 1))
        columns.append(value["area"] / np.maximum(value["lot"], 1))
    if around is not None:
        columns.append(around)
    return np.column_stack(columns)


def edges(matrix):
    """Limits between the bins of each feature (BINS - 1, features): quantiles."""
    return np.quantile(matrix, np.arange(1, BINS) / BINS, axis=0)


def binned(matrix, limits):
    return np.column_stack([np.searchsorted(limits[:, f], matrix[:, f]) for f in range(matrix.shape[1])]).astype(np.uint8)


def grow(bins, residual, chosen):
    """One tree over the chosen features, level by level.

    Returns the feature and the last bin to the left of each inner node, (2 ** DEPTH - 1), and the value of each
    leaf, (2 ** DEPTH). A node that nothing can split sends every house to the left.
    """
    feature, limit = np.zeros(2**DEPTH - 1, np.uint8), np.full(2**DEPTH - 1, 255, np.uint8)
    node = np.zeros(len(bins), np.int64)
    columns = bins[:, chosen].astype(np.int64)
    for level in range(DEPTH):
        nodes = 2**level
        best, gains = np.zeros((nodes, 2), np.int64), np.full(nodes, 1e-9)
        for k in range(len(chosen)):
            slot = node * BINS + columns[:, k]
            count = np.bincount(slot, minlength=nodes * BINS).reshape(nodes, BINS).cumsum(axis=1)
            total = np.bincount(slot, residual, nodes * BINS).reshape(nodes, BINS).cumsum(axis=1)
            right, rest = count[:, -1:] - count, total[:, -1:] - total
            gain = total**2 / (count + SHRINKAGE) + rest**2 / (right + SHRINKAGE)
            gain -= total[:, -1:] ** 2 / (count[:, -1:] + SHRINKAGE)
            gain[(count < MIN_HOUSES) | (right < MIN_HOUSES)] = 0
            where = gain.argmax(axis=1)
            better = gain[np.arange(nodes), where] > gains
            gains = np.where(better, gain[np.arange(nodes), where], gains)
            best[better] = np.column_stack([np.full(nodes, k), where])[better]
        inner = np.arange(nodes) + nodes - 1
        split = gains > 1e-9
        feature[inner], limit[inner] = chosen[best[:, 0]], np.where(split, best[:, 1], 255)
        node = 2 * node + (columns[np.arange(len(columns)), best[node, 0]] > limit[inner][node])
    leaf = np.bincount(node, residual, 2**DEPTH) / (np.bincount(node, minlength=2**DEPTH) + SHRINKAGE)
    return feature, limit, leaf


def answer(bins, feature, limit, leaf):
    """What one tree says of each house."""
    node, rows = np.zeros(len(bins), np.int64), np.arange(len(bins))
    for level in range(DEPTH):
        inner = node + 2**level - 1
        node = 2 * node + (bins[rows, feature[inner]] > limit[inner])
    return leaf[node]


def boost(bins, log_price, first, trees, rng):
    """Trees one after the other, each grown on what those before it left over."""
    grown, said = [], np.full(len(bins), first)
    for n in range(trees):
        rate = LEARNING_RATE * (1 - (1 - FINAL_RATE_FRACTION) * n / trees)
        rows = rng.random(len(bins)) < ROWS
        chosen = rng.permutation(bins.shape[1])[: max(1, round(COLUMNS * bins.shape[1]))]
        residual = np.clip(log_price - said, -RESIDUAL_CLIP, RESIDUAL_CLIP)
        feature, limit, leaf = grow(bins[rows], residual[rows], chosen)
        grown.append((feature, limit, rate * leaf))
        said += answer(bins, *grown[-1])
        if (n + 1) % 20 == 0:
            print(f"tree {n + 1}/{trees} training error {np.abs(log_price - said).mean():.4f}")
    return grown


def train(numbers, kinds, prices, trees, rng):
    log_price = np.log(prices)
    around = neighbourhood(numbers, log_price) if CELL > 0 else None
    matrix = features(numbers, kinds, around)
    limits = edges(matrix)
    bins, first = binned(matrix, limits), np.median(log_price)
    grown = [tree for _ in range(ENSEMBLE) for tree in boost(bins, log_price, first, trees, rng)]
    feature, limit, leaf = (np.array(part) for part in zip(*grown))
    model = {"limits": limits, "first": first, "feature": feature, "limit": limit, "leaf": leaf.astype(np.float32)}
    if CELL > 0:
        model |= {"numbers": numbers, "log_price": log_price.astype(np.float32)}
    return model


def appraise(model, numbers, kinds):
    """Dollars for each house."""
    around = neighbourhood(model["numbers"], model["log_price"], numbers) if CELL > 0 else None
    bins = binned(features(numbers, kinds, around), model["limits"])
    said = sum(answer(bins, *tree) for tree in zip(model["feature"], model["limit"], model["leaf"]))
    return np.exp(model["first"] + said / ENSEMBLE)


def save(model):
    np.savez_compressed(os.path.join(os.environ["MENDEL_OUT"], "model.npz"), **model)


def serve():
    import mendel_subject

    model = dict(np.load(os.path.join(os.environ["MENDEL_ARTIFACT"], "model.npz")))
    mendel_subject.serve(appraise=lambda numbers, kinds: appraise(model, numbers, kinds))


def main():
    rng = np.random.default_rng(int(os.environ.get("MENDEL_SEED", "0")))
    if "--serve" in sys.argv:
        serve()
    elif "--smoke" in sys.argv:
        numbers, kinds = 1 + 1000 * rng.random((1000, len(NUMBERS))), rng.integers(0, 5, (1000, len(KINDS)))
        model = train(numbers, kinds, 100 * numbers[:, NUMBERS.index("area")], 5, rng)
        save(model)
        print(f"appraised {len(appraise(model, numbers, kinds))} made-up houses")
    else:
        with np.load(os.path.join(os.environ["MENDEL_DATA"], "train", "houses.npz")) as data:
            save(train(data["numbers"], data["kinds"], data["prices"], TREES, rng))


if __name__ == "__main__":
    main()
