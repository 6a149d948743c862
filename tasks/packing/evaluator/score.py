"""Decides exactly whether a subject's circles are a packing, and scores them.

A float64 is a fraction, so whether a circle leaves the square or overlaps another is computed in
rational arithmetic, without rounding and without a tolerance. Square roots and the conversion to
the reported numbers round, but never across zero.
"""

import math
from fractions import Fraction
from itertools import combinations

from mendel_evaluator import connect, result

CIRCLES = 26
TOLERANCE = 1e-6  # by how much published evaluators of this problem let a constraint be missed
SMALLEST = Fraction(5e-324)  # of the positive float64: "r > 0" is "r - SMALLEST >= 0"
HUGE = 1e100  # far outside, but still with a square that a float64 can hold


def side_gap(circle):
    """Distance of a circle to the nearest side of the square, below zero where it crosses it."""
    x, y, r = circle
    return min(x, 1 - x, y, 1 - y) - r


def pair_gap(a, b):
    """Distance between two circles, below zero where they overlap.

    The distance d - s of centres d apart with radii that add up to s is (d² - s²) / (d + s): the
    numerator is exact, so the sign is too.
    """
    squared = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
    reach = a[2] + b[2]
    distance = Fraction(math.sqrt(squared))
    if reach <= 0:  # no circles to overlap; their radii are refused by themselves
        return distance - reach
    return (squared - reach**2) / (distance + reach)


def smallest_slack(circles):
    """How far the tightest constraint is from being broken, as a fraction."""
    radii = [r - SMALLEST for _, _, r in circles]
    return min(radii + [side_gap(c) for c in circles] + [pair_gap(a, b) for a, b in combinations(circles, 2)])


def rounded(fraction):
    """The nearest float64, but on the same side of zero."""
    value = float(fraction)
    return -5e-324 if fraction < 0 and value == 0 else value


def score(circles):
    circles = [tuple(Fraction(min(max(float(v), -HUGE), HUGE)) for v in circle) for circle in circles]
    total, slack = float(sum(r for _, _, r in circles)), rounded(smallest_slack(circles))
    return {
        "sum_of_radii": total,
        "sum_at_tolerance": total if slack >= -TOLERANCE else 0.0,
        "slack": slack,
    }


def main():
    subject = connect()
    circles = subject.call("circles", expect=[("f8", (CIRCLES, 3))])
    subject.close()
    result(score(circles))


if __name__ == "__main__":
    main()
