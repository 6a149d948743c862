"""What the model knows about an hour: a list of numbers, each about 1 in size."""

import math

# Periods of the tides that the model may use, in hours, the strongest first.
PERIODS = [12.4206, 12.0, 23.9345, 12.6583, 25.8193, 6.2103, 8.2804, 4.1402]

# How many of them it uses.
TIDES = 2


def features(hour):
    numbers = [1.0]
    for period in PERIODS[:TIDES]:
        angle = 2 * math.pi * hour / period
        numbers += [math.cos(angle), math.sin(angle)]
    return numbers
