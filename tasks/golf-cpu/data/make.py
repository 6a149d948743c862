"""Makes train/, val/ and cert/ again, byte for byte, from the King James text in Debian.

Needs Debian's bible-kjv, bible-kjv-text and python3-numpy; run it as
`/usr/bin/python3 data/make.py`. No recipe, and no specialist, ever sees this file: the seed
below says which verses are held out.
"""

import gzip
import io
import pathlib
import re
import subprocess
import zipfile

import numpy as np

SPLIT_SEED = 3554957903
STREAMS = {"val": 128, "cert": 128}  # passages a split
LENGTH = 512  # bytes of a passage that are scored
PARALLEL = 40  # letters: a longer run that stands twice in the book makes a passage a parallel


def verses():
    """All 31,102 verses in order: (chapter, text)."""
    book = subprocess.run(
        ["bible", "-f", "Gen1:1-Rev22:21"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(r"^(\S+):\d+ (.*)$", book, re.MULTILINE)
    if len(found) != 31102:
        raise SystemExit(f"{len(found)} verses instead of 31,102: is this the text of bible-kjv-text 4.38?")
    return found


def repeated_runs(letters):
    """For each letter, whether the run of PARALLEL letters that begins there stands elsewhere too."""
    codes = np.frombuffer(letters.encode(), np.uint8).astype(np.uint64)
    hashes = np.zeros(len(codes) - PARALLEL + 1, np.uint64)
    for i in range(PARALLEL):  # wrapping 64-bit polynomial hash
        hashes = hashes * np.uint64(6364136223846793005) + codes[i : i + len(hashes)] + np.uint64(i)
    _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    return counts[inverse] > 1


def draw(text):
    """Numbers of the verses of each held-out passage, by split."""
    only_letters = [re.sub("[^a-z]", "", verse.lower()) for _, verse in text]
    first = np.concatenate([[0], np.cumsum([len(v) for v in only_letters])])
    before = np.concatenate([[0], np.cumsum(repeated_runs("".join(only_letters)))])
    rng = np.random.default_rng(SPLIT_SEED)
    used, passages, parallels = set(), [], 0
    for start in rng.permutation(len(text)):
        end, size = start, 0
        while size < LENGTH and end < len(text) and text[end][0] == text[start][0]:
            size += len(text[end][1]) + 1
            end += 1
        if size < LENGTH or used.intersection(range(start, end)):
            continue
        if before[first[end] - PARALLEL + 1] > before[first[start]]:
            parallels += 1
            continue
        used.update(range(start, end))
        passages.append(range(start, end))
        if len(passages) == sum(STREAMS.values()):
            break
    print(f"{parallels} passages refused as parallels, {len(passages)} drawn, {len(used)} verses held out")
    return {"val": passages[: STREAMS["val"]], "cert": passages[STREAMS["val"] :]}, used


def save(path, streams):
    """Like numpy.savez_compressed, but without the time of day in the file."""
    path.parent.mkdir(exist_ok=True)
    raw = io.BytesIO()
    np.lib.format.write_array(raw, streams)
    entry = zipfile.ZipInfo("streams.npy", date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, raw.getvalue(), compresslevel=9)


def main():
    text = verses()
    split, used = draw(text)
    here = pathlib.Path(__file__).parent
    for name, passages in split.items():
        lines = ["".join(text[v][1] + "\n" for v in passage)[:LENGTH] for passage in passages]
        streams = np.frombuffer("".join(lines).encode("ascii"), np.uint8).reshape(len(lines), LENGTH)
        save(here / name / "streams.npz", streams)
        print(name, streams.shape)
    train = "".join(verse + "\n" for i, (_, verse) in enumerate(text) if i not in used)
    (here / "train").mkdir(exist_ok=True)
    (here / "train" / "kjv.txt.gz").write_bytes(gzip.compress(train.encode("ascii"), 9, mtime=0))
    print("train", len(train), "bytes")


if __name__ == "__main__":
    main()
