"""Packs 26 circles into the unit square, so that the sum of their radii is large.

    pack.py          search for a packing, leave $MENDEL_OUT/circles.npy
    pack.py --serve  load $MENDEL_ARTIFACT/circles.npy and show it to the evaluator
    pack.py --smoke  a short search, checked like a long one, that leaves nothing

Read from main() upwards. A packing is an array (26, 3): x, y and radius of each circle. Everything is bounded by
counts and drawn from SEED, so the same file always leaves the same packing.
"""

import os
import sys
from fractions import Fraction
from itertools import combinations

import numpy as np

CIRCLES = 26

# Geometry: where a search starts
ROWS = "65555"  # circles in each row, from below
ROW_SHIFT = 0.0  # of a row's spacing, to the left and to the right in turn
JITTER = 0.05  # standard deviation of the centres around the rows
START_RADIUS = 0.05

# Search: how centres and radii move
SEED = 1
RESTARTS = 2
STEPS = 400  # of gradient ascent, each restart
LEARNING_RATE = 0.003
FINAL_RATE_FRACTION = 0.1  # where the linear decay ends
MOMENTUM = 0.0
PENALTY = 10.0  # weight of squared overlaps at the first step
PENALTY_GROWTH = 2.0  # by which factor that weight has grown at the last step

# Numerics: how an almost valid packing becomes an exactly valid one
SHRINK = 0.002  # by which part radii shrink until no constraint is broken
GROW_ROUNDS = 0  # times that each circle then grows to its limit
GROW_MARGIN = 1e-5  # distance that growing keeps from the limit


def start(rng):
    """Circles of one size in rows across the square, moved a little at random."""
    centres = []
    for row, count in enumerate(int(digit) for digit in ROWS):
        shift = ROW_SHIFT * (-1) ** row / 2
        y = (row + 0.5) / len(ROWS)
        centres += [((column + 0.5 + shift) / count, y) for column in range(count)]
    centres = np.array(centres) + JITTER * rng.standard_normal((CIRCLES, 2))
    radii = np.full((CIRCLES, 1), START_RADIUS)
    return np.hstack([np.clip(centres, START_RADIUS, 1 - START_RADIUS), radii])


def differences(circles):
    """Vectors between all centres (26, 26, 2), and their lengths; a centre is far from itself."""
    apart = circles[:, None, :2] - circles[None, :, :2]
    return apart, np.sqrt((apart**2).sum(axis=2)) + np.eye(CIRCLES)


def gradient(circles, penalty):
    """Of the sum of radii, less penalty times the squared depth of everything that overlaps."""
    xy, r = circles[:, :2], circles[:, 2]
    apart, distance = differences(circles)
    depth = np.maximum(r[:, None] + r[None, :] - distance, 0)
    np.fill_diagonal(depth, 0)
    below, above = np.maximum(r[:, None] - xy, 0), np.maximum(xy + r[:, None] - 1, 0)
    move = 2 * (depth / distance)[:, :, None] * apart
    grad = np.empty_like(circles)
    grad[:, :2] = penalty * (move.sum(axis=1) + 2 * (below - above))
    grad[:, 2] = 1 - 2 * penalty * (depth.sum(axis=1) + (below + above).sum(axis=1))
    return grad


def ascend(circles, steps):
    velocity = np.zeros_like(circles)
    for step in range(steps):
        part = step / steps
        rate = LEARNING_RATE * (1 - (1 - FINAL_RATE_FRACTION) * part)
        velocity = MOMENTUM * velocity + gradient(circles, PENALTY * PENALTY_GROWTH**part)
        circles = circles + rate * velocity
    return circles


def valid(circles):
    """Whether the circles are a packing, decided as the evaluator does: without rounding."""
    exact = [tuple(Fraction(float(v)) for v in circle) for circle in circles]
    return all(r > 0 and r <= min(x, 1 - x, y, 1 - y) for x, y, r in exact) and all(
        (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 >= (a[2] + b[2]) ** 2 for a, b in combinations(exact, 2)
    )


def room(circles, i):
    """The largest radius that circle i can have where it stands, up to rounding."""
    x, y = circles[i, :2]
    distance = np.hypot(circles[:, 0] - x, circles[:, 1] - y) - circles[:, 2]
    distance[i] = np.inf
    return min(x, 1 - x, y, 1 - y, distance.min())


def repair(circles):
    """Shrinks radii until the packing is valid, then lets each circle grow into what room is left."""
    circles = circles.copy()
    circles[:, :2] = np.clip(circles[:, :2], 0.01, 0.99)
    circles[:, 2] = np.clip(circles[:, 2], 0.001, 0.5)
    while not valid(circles):
        circles[:, 2] *= 1 - SHRINK
    for _ in range(GROW_ROUNDS):
        for i in range(CIRCLES):
            circles[i, 2] = max(circles[i, 2], room(circles, i) - GROW_MARGIN)
    return circles


def search(restarts, steps):
    rng, best = np.random.default_rng(SEED), None
    for restart in range(restarts):
        circles = repair(ascend(start(rng), steps))
        print(f"restart {restart + 1}/{restarts} sum of radii {circles[:, 2].sum():.6f}")
        if best is None or circles[:, 2].sum() > best[:, 2].sum():
            best = circles
    return best


def checked(circles):
    if not valid(circles):
        raise SystemExit("the circles found are no packing")
    return circles


def save(circles):
    np.save(os.path.join(os.environ["MENDEL_OUT"], "circles.npy"), circles)


def serve():
    import mendel_subject

    found = np.load(os.path.join(os.environ["MENDEL_ARTIFACT"], "circles.npy"))
    mendel_subject.serve(circles=lambda: found)


def main():
    if "--serve" in sys.argv:
        serve()
    elif "--smoke" in sys.argv:
        checked(search(1, min(STEPS, 100)))
    else:
        save(checked(search(RESTARTS, STEPS)))


if __name__ == "__main__":
    main()
