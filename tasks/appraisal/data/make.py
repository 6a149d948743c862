"""Makes train/, val/ and cert/ again, byte for byte, from the sales that the R package spData carries.

Needs Debian's r-cran-spdata (with r-base-core) and python3-numpy; run it as
`/usr/bin/python3 data/make.py`. No recipe, and no specialist, ever sees this file: the seed below
says which houses are held out.
"""

import csv
import io
import pathlib
import subprocess
import zipfile

import numpy as np

SPLIT_SEED = 1993100519
HELD_OUT = {"val": 5000, "cert": 5000}  # houses a split; training gets the rest

EXPORT = """
suppressMessages(library(sp)); data(house, package = "spData")
write.csv(as.data.frame(house), stdout(), row.names = FALSE)
"""
NUMBERS = ["yrbuilt", "TLA", "beds", "baths", "halfbaths", "rooms", "garagesqft", "lotsize", "frontage", "depth"]
KINDS = {  # the levels in the package's order; an array holds their places in these lists
    "stories": ["one", "bilevel", "multilvl", "one+half", "two", "two+half", "three"],
    "wall": ["stucdrvt", "ccbtile", "metlvnyl", "brick", "stone", "wood", "partbrk"],
    "garage": ["no garage", "basement", "attached", "detached", "carport"],
}


def sold(date):
    """Years since the beginning of 1993, from yymmdd."""
    year, month, day = int(date[:2]), int(date[2:4]), int(date[4:])
    return year - 93 + (month - 1) / 12 + (day - 1) / 365


def table():
    """Prices in dollars, and what is known of each house; the auditor's own appraisal stays out."""
    text = subprocess.run(["Rscript", "-e", EXPORT], capture_output=True, text=True, check=True).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    if len(rows) != 25357:
        raise SystemExit(f"{len(rows)} houses instead of 25,357: is this spData 2.2.1?")
    numbers = [
        [*(float(row[name]) for name in NUMBERS), sold(row["sdate"]), float(row["long"]) - 484000, float(row["lat"]) - 195000]
        for row in rows
    ]
    kinds = [[levels.index(row[name]) for name, levels in KINDS.items()] for row in rows]
    prices = [int(float(row["price"])) for row in rows]
    return {"numbers": np.array(numbers, np.float32), "kinds": np.array(kinds, np.uint8), "prices": np.array(prices, np.int32)}


def save(path, arrays):
    """Like numpy.savez_compressed, but without the time of day in the file."""
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            raw = io.BytesIO()
            np.lib.format.write_array(raw, array)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, raw.getvalue(), compresslevel=9)


def main():
    houses = table()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(houses["prices"]))
    here, start = pathlib.Path(__file__).parent, 0
    for name, size in {**HELD_OUT, "train": len(order) - sum(HELD_OUT.values())}.items():
        chosen = order[start : start + size]
        start += size
        save(here / name / "houses.npz", {key: array[chosen] for key, array in houses.items()})
        print(name, size, "houses, median price", int(np.median(houses["prices"][chosen])))


if __name__ == "__main__":
    main()
