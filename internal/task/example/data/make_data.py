"""Make the data of this task: a year's heights of an imaginary tide gauge, one an hour.

The heights are a sum of tides with the periods of real ones and of weather, which is noise that
fades slowly. Run it to see where the numbers come from; the files beside it are its output.
"""

import csv
import math
import pathlib
import random

# (period in hours, amplitude in cm): M2, S2, N2, K1, O1, M4 and the fortnightly Mf.
TIDES = [(12.4206, 94.0), (12.0, 31.0), (12.6583, 19.0), (23.9345, 22.0), (25.8193, 16.0), (6.2103, 9.0), (327.8599, 5.0)]

# The search sees what comes after the training data; the certificate, what comes after that.
SPLITS = [("train", 0, 960), ("heldout", 960, 1440), ("certify", 1440, 1920)]


def heights(hours):
    source = random.Random(1845)
    phases = [source.uniform(0, 2 * math.pi) for _ in TIDES]
    weather = 0.0
    for hour in range(hours):
        weather = 0.9 * weather + source.gauss(0, 2.0)
        tide = sum(a * math.cos(2 * math.pi * hour / period + p) for (period, a), p in zip(TIDES, phases))
        yield hour, round(tide + weather, 1)


def main():
    here = pathlib.Path(__file__).parent
    rows = list(heights(SPLITS[-1][2]))
    for name, start, end in SPLITS:
        (here / name).mkdir(exist_ok=True)
        with open(here / name / "tide.csv", "w", newline="") as f:
            csv.writer(f, lineterminator="\n").writerows([("hour", "cm"), *rows[start:end]])


if __name__ == "__main__":
    main()
