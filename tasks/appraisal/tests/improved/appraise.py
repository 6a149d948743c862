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
DIRECTIONS = 6  # of the compass along which the place of a house is measured
NEAREST = (5, 25)  # houses around each whose prices, and what they are like, are averaged
FOLDS = 3  # parts of the houses of which each is appraised by trees grown on the others
FOLD_TREES = 60

# Model: what one tree can say
BINS = 128  # values that a column can take, at most 256
DEPTH = 6
MIN_HOUSES = 12  # on each side of a split
SHRINKAGE = 1.0  # houses' worth of "no change" in each leaf

# Training: how trees are added up
TREES = 240
LEARNING_RATE = 0.15
FINAL_RATE_FRACTION = 0.3  # where the linear decay of the learning rate ends
RESIDUAL_CLIP = 0.2  # largest residual, in logarithms, that a tree is asked to mend
ROWS = 0.5  # part of the houses that each tree is grown on
COLUMNS = 0.5  # part of the features that each tree may ask about
ENSEMBLE = 1  # independent sequences of trees whose answers are averaged


def column(numbers, name):
    return numbers[:, NUMBERS.index(name)]


def places(numbers):
    return np.column_stack([column(numbers, "east"), column(numbers, "north")]).astype(np.float32)


def nearest(known, asked, among_known):
    """Row numbers of the NEAREST[-1] known houses around each one asked for, the closest first."""
    most, found = NEAREST[-1], []
    for start in range(0, len(asked), 256):
        some = asked[start : start + 256]
        away = (known**2).sum(axis=1) - 2 * some @ known.T
        if among_known:
            away[np.arange(len(some)), start + np.arange(len(some))] = np.inf
        close = np.argpartition(away, most, axis=1)[:, :most]
        order = np.take_along_axis(away, close, axis=1).argsort(axis=1)
        found.append(np.take_along_axis(close, order, axis=1))
    return np.concatenate(found)


def itself(numbers, kinds):
    """What can be said of a house without the houses around it (houses, features)."""
    value = dict(zip(NUMBERS, numbers.T.astype(np.float64)))
    columns = [value[name] for name in NUMBERS[:-2]]
    for k in range(DIRECTIONS):
        angle = np.pi * k / DIRECTIONS
        columns.append(value["east"] * np.cos(angle) + value["north"] * np.sin(angle))
    columns += list(kinds.T.astype(np.float64))
    columns.append(1993 + value["sold"] - value["built"])
    columns.append(value["area"] / np.maximum(value["rooms"], 1))
    columns.append(value["area"] / np.maximum(value["lot"], 1))
    return np.column_stack(columns)


def features(numbers, kinds, known, around):
    """A matrix (houses, features) of what a tree may ask about: a house and those around it."""
    columns = [itself(numbers, kinds)]
    for count in NEAREST:
        columns += [known[name][around[:, :count]].mean(axis=1) for name in ("surplus", "level", "built", "area", "lot")]
    return np.column_stack(columns)


def about(numbers, kinds, log_price, rng):
    """What is averaged over neighbours: how each known house is, and how much more it cost than trees say.

    No tree that says it was grown on the price of that house.
    """
    matrix, fold, surplus = itself(numbers, kinds), rng.integers(0, FOLDS, len(numbers)), np.empty(len(numbers))
    limits = edges(matrix)
    bins = binned(matrix, limits)
    for k in range(FOLDS):
        others = fold != k
        first = np.median(log_price[others])
        grown = boost(bins[others], log_price[others], first, FOLD_TREES, rng)
        surplus[~others] = log_price[~others] - first - sum(answer(bins[~others], *tree) for tree in grown)
    level = log_price - np.log(np.maximum(column(numbers, "area"), 1))
    known = {"surplus": surplus, "level": level, **{name: column(numbers, name) for name in ("built", "area", "lot")}}
    return {name: values.astype(np.float32) for name, values in known.items()} | {"place": places(numbers)}


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
    known = about(numbers, kinds, log_price, rng)
    matrix = features(numbers, kinds, known, nearest(known["place"], known["place"], among_known=True))
    limits = edges(matrix)
    bins, first = binned(matrix, limits), np.median(log_price)
    grown = [tree for _ in range(ENSEMBLE) for tree in boost(bins, log_price, first, trees, rng)]
    feature, limit, leaf = (np.array(part) for part in zip(*grown))
    return known | {"limits": limits, "first": first, "feature": feature, "limit": limit, "leaf": leaf.astype(np.float32)}


def appraise(model, numbers, kinds):
    """Dollars for each house."""
    around = nearest(model["place"], places(numbers), among_known=False)
    bins = binned(features(numbers, kinds, model, around), model["limits"])
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
