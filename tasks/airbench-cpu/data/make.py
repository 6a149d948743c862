"""Makes train/, val/ and cert/ again, byte for byte, from the digits that scikit-learn carries.

Needs Debian's python3-numpy and python3-sklearn; run it as `/usr/bin/python3 data/make.py`.
"""

import io
import pathlib
import zipfile

import numpy as np
from sklearn.datasets import load_digits

SPLIT_SEED = 20260718
HELD_OUT = {"val": 450, "cert": 450}  # images a split; training gets the rest


def stratified(labels, rng):
    """Image numbers for each split, with every digit in proportion (largest remainder)."""
    total = len(labels)
    chosen = {name: [] for name in [*HELD_OUT, "train"]}
    by_digit = [rng.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]
    for name, size in HELD_OUT.items():
        exact = np.array([np.sum(labels == digit) for digit in range(10)]) * size / total
        quota = np.floor(exact).astype(int)
        for digit in np.argsort(quota - exact, kind="stable")[: size - quota.sum()]:
            quota[digit] += 1
        for digit in range(10):
            chosen[name].append(by_digit[digit][: quota[digit]])
            by_digit[digit] = by_digit[digit][quota[digit] :]
    chosen["train"] = by_digit
    return {name: rng.permutation(np.concatenate(parts)) for name, parts in chosen.items()}


def save(path, **arrays):
    """Like numpy.savez_compressed, but without the time of day in the file."""
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            raw = io.BytesIO()
            np.lib.format.write_array(raw, array)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, raw.getvalue(), compresslevel=9)


def main():
    digits = load_digits()
    images = digits.images.astype(np.uint8)  # 0..16
    labels = digits.target.astype(np.uint8)
    split = stratified(labels, np.random.default_rng(SPLIT_SEED))
    here = pathlib.Path(__file__).parent
    for name, numbers in split.items():
        save(here / name / "digits.npz", images=images[numbers], labels=labels[numbers])
        print(name, len(numbers), np.bincount(labels[numbers]).tolist())


if __name__ == "__main__":
    main()
