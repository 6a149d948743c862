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
FIRST, SECOND = np.triu_indices(CIRCLES, 1)  # all pairs

# Geometry: where a search starts
ROWS = "55565"  # circles in each row, from below
ROW_SHIFT = 0.25  # of a row's spacing, to the left and to the right in turn
JITTER = 0.05  # standard deviation of the centres around the rows
START_RADIUS = 0.05

# Search: how centres and radii move
SEED = 1
RESTARTS = 60
STEPS = 150  # of gradient ascent, each restart
LEARNING_RATE = 0.003
FINAL_RATE_FRACTION = 0.1  # where the linear decay ends
MOMENTUM = 0.8
PENALTY = 5.0  # weight of squared overlaps at the first step
PENALTY_GROWTH = 4.0  # by which factor that weight has grown at the last step

# Numerics: how an almost valid packing becomes an exactly valid and tight one
REACH = 0.05  # how far a centre may move along each axis in one round of polish
ROUNDS = 12  # of polish at most
GAIN = 1e-7  # of the sum of radii, below which a round is the last one
MARGIN = 1e-12  # that the final radii keep from each other's limits


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


def fit(circles, margin):
    """Shrinks every circle by its own deepest overlap, so that none are left, up to rounding."""
    xy, r = circles[:, :2], circles[:, 2]
    _, distance = differences(circles)
    allowed = distance / (r[:, None] + r[None, :])
    np.fill_diagonal(allowed, 1)
    sides = np.minimum(xy, 1 - xy).min(axis=1) / r
    factor = np.minimum(np.minimum(allowed.min(axis=1), sides), 1)
    return np.hstack([xy, (r * factor - margin)[:, None]])


def linear_program(matrix, limits, gain, point):
    """Maximizes gain @ point under matrix @ point <= limits, by Mehrotra's predictor and corrector.

    The first point must lie strictly inside; so do all that follow.
    """
    slack = limits - matrix @ point
    price = np.full(len(limits), 1 / len(limits))
    for _ in range(40):
        short, gap = gain - matrix.T @ price, price @ slack / len(limits)
        if gap < 1e-12 and np.abs(short).max() < 1e-9:
            break
        weight = price / slack
        normal = matrix.T @ (weight[:, None] * matrix)
        inverse = np.linalg.inv(normal + 1e-13 * np.trace(normal) / len(normal) * np.eye(len(normal)))

        def step(product):
            """Towards price * slack changed by product, with prices that balance the gain."""
            move = inverse @ (short - matrix.T @ (product / slack))
            away = -matrix @ move
            return product / slack - weight * away, move, away

        dprice, _, dslack = step(-price * slack)
        reached = (price + longest(price, dprice) * dprice) @ (slack + longest(slack, dslack) * dslack) / len(limits)
        dprice, move, dslack = step((reached / gap) ** 3 * gap - price * slack - dprice * dslack)
        price = price + longest(price, dprice) * dprice
        part = longest(slack, dslack)
        point, slack = point + part * move, slack + part * dslack
    return point


def longest(values, change):
    """The largest part of a change, up to all of it, that leaves positive values positive."""
    falls = change < 0
    return min(1.0, 0.995 * (values[falls] / -change[falls]).min()) if falls.any() else 1.0


def improve(circles):
    """The best packing near by, where distances are replaced by their tangents.

    Distance is a convex function of the centres and lies above its tangents, so what the linear
    program finds is a packing. Unknowns are all x, then all y, then all radii.
    """
    n = CIRCLES
    x, y, r = circles.T
    dx, dy = x[FIRST] - x[SECOND], y[FIRST] - y[SECOND]
    distance = np.hypot(dx, dy)
    near = distance - r[FIRST] - r[SECOND] < 6 * REACH
    i, j, pair = FIRST[near], SECOND[near], np.arange(near.sum())
    ux, uy = dx[near] / distance[near], dy[near] / distance[near]
    apart = np.zeros((len(pair), 3 * n))
    apart[pair, i], apart[pair, j] = -ux, ux
    apart[pair, n + i], apart[pair, n + j] = -uy, uy
    apart[pair, 2 * n + i] = apart[pair, 2 * n + j] = 1
    centres, radii = np.eye(2 * n, 3 * n), np.tile(np.eye(n, 3 * n, 2 * n), (2, 1))
    point = np.concatenate([x, y, r])
    matrix = np.vstack([apart, radii - centres, radii + centres, -centres, centres])
    limits = np.concatenate(
        [np.zeros(len(pair) + 2 * n), np.ones(2 * n), REACH - point[: 2 * n], REACH + point[: 2 * n]]
    )
    gain = np.repeat([0.0, 1.0], [2 * n, n])
    point[2 * n :] = 0.999 * r  # strictly inside
    return linear_program(matrix, limits, gain, point).reshape(3, n).T


def polish(circles):
    """Rounds of improvement until they gain nothing: a local optimum of the sum of radii."""
    circles = fit(circles, 0.0)
    for _ in range(ROUNDS):
        better = fit(improve(circles), 0.0)
        gain = better[:, 2].sum() - circles[:, 2].sum()
        if not gain > 0:
            break
        circles = better
        if gain < GAIN:
            break
    return circles


def search(restarts, steps):
    rng, best = np.random.default_rng(SEED), None
    for restart in range(restarts):
        circles = fit(polish(ascend(start(rng), steps)), MARGIN)
        if valid(circles) and (best is None or circles[:, 2].sum() > best[:, 2].sum()):
            print(f"restart {restart + 1}/{restarts} sum of radii {circles[:, 2].sum():.9f}")
            best = circles
    return best


def checked(circles):
    if circles is None or not valid(circles):
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
