"""Makes train/, val/ and cert/ again, byte for byte, from the King James text in Debian.

Needs Debian's bible-kjv, bible-kjv-text and python3-numpy; run it as
`/usr/bin/python3 data/make.py`. No recipe, and no specialist, ever sees this file: the seed
below says which verses are held out.

Read from main() upwards. An item of a choice has four pairs of a context (CONTEXT bytes) and a
continuation (CONTINUATION bytes), the true one first (the evaluator shuffles); one of a cloze has a
context and the word that follows it.
"""

import collections
import gzip
import json
import pathlib
import re
import subprocess

import numpy as np

SPLIT_SEED = 2718404115
SPLITS = ("val", "cert")
ITEMS = 400  # of each task, in each split
CONTEXT, CONTINUATION = 48, 24  # bytes
GAP = 8  # bytes that are left out between two items of one passage
PASSAGE = 512  # bytes of whole verses of one chapter, at least
PARALLEL = 32  # letters: a longer run that stands twice in the book makes a passage a parallel
COMMON = (30, 3000)  # occurrences in the book of the words that stand for each other
CLOSERS = 60  # occurrences in the book, before a stop, of the words that a cloze asks for
STOP = "[.:;?!]"


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


def passages(text, rng):
    """Yields the verse numbers of passages without parallels, none twice, all over the book."""
    only_letters = [re.sub("[^a-z]", "", verse.lower()) for _, verse in text]
    first = np.concatenate([[0], np.cumsum([len(v) for v in only_letters])])
    before = np.concatenate([[0], np.cumsum(repeated_runs("".join(only_letters)))])
    used = set()
    for start in rng.permutation(len(text)):
        end, size = start, 0
        while size < PASSAGE and end < len(text) and text[end][0] == text[start][0]:
            size += len(text[end][1]) + 1
            end += 1
        if size < PASSAGE or used.intersection(range(start, end)):
            continue
        if before[first[end] - PARALLEL + 1] > before[first[start]]:
            continue
        used.update(range(start, end))
        yield range(start, end)


def quadruples(vocabulary):
    """Each common word with the three that stand for it: as long, and about as frequent."""
    rows = collections.defaultdict(list)
    for word, count in sorted(vocabulary.items(), key=lambda entry: (-entry[1], entry[0])):
        if re.fullmatch("[a-z]{4,8}", word) and COMMON[0] <= count <= COMMON[1]:
            rows[len(word)].append(word)
    found = {}
    for row in rows.values():
        for i in range(0, len(row) - 3, 4):
            four = row[i : i + 4]
            if vocabulary[four[0]] <= 1.25 * vocabulary[four[3]]:
                found.update({word: four for word in four})
    return found


def both_ways(text, first, second):
    """Four texts: neither, one, the other, and both of two changes (begin, end, instead) made.

    So each of the four lies as far from the other three: the true one is not their middle.
    """
    out = []
    for a in (False, True):
        for b in (False, True):
            new = text
            for made, (begin, end, instead) in ((a, first), (b, second)):
                if made:
                    new = new[:begin] + instead + new[end:]
            out.append(new)
    return out


class Tasks:
    """One method a task: what stands in an item behind a context that `rest` continues, or None."""

    def __init__(self, book, rng):
        self.rng = rng
        self.vocabulary = collections.Counter(re.findall("[A-Za-z]+", book))
        self.quads = quadruples(self.vocabulary)
        last = collections.Counter(re.findall(f"([A-Za-z]+){STOP}", book))
        self.closers = {word for word, count in last.items() if count >= CLOSERS}

    def spelling(self, rest):
        """Two neighbouring inner letters change places, in two words or in one of them."""
        changes = []
        for word in re.finditer(r"(?<![\w'-])[a-z]{4,}(?= )", rest):
            w, options = word[0], []
            for i in range(1, len(w) - 2):
                wrong = w[:i] + w[i + 1] + w[i] + w[i + 2 :]
                if w[i] != w[i + 1] and wrong not in self.vocabulary:
                    options.append((word.start(), word.end(), wrong))
            if options:
                changes.append(options[self.rng.integers(len(options))])
        if len(changes) < 2:
            return None
        a, b = self.rng.choice(len(changes), 2, replace=False)
        return both_ways(rest, changes[a], changes[b])

    def order(self, rest):
        """Two neighbouring words change places, in two pairs of words or in one of them."""
        pairs = [
            (pair.start(), pair.end(), f"{pair[2]} {pair[1]}")
            for pair in re.finditer(r"(?<![\w'-])([a-z]+) ([a-z]+)(?=[ ,.:;])", rest)
            if pair[1] != pair[2]
        ]
        return both_ways(rest, *pairs[:2]) if len(pairs) >= 2 else None

    def word(self, rest):
        """Another word, as long and as frequent, stands in place of the first."""
        first = re.match("[a-z]+(?=[ ,.:;])", rest)
        four = self.quads.get(first[0]) if first else None
        # Taken so often that each of the four is as likely to be the true one.
        if not four or self.rng.random() > self.vocabulary[four[3]] / self.vocabulary[first[0]]:
            return None
        return [rest] + [other + rest[first.end() :] for other in four if other != first[0]]

    def schema(self, rest):
        """The same continuation stands behind other contexts; split() draws them."""
        return [rest]

    def cloze(self, rest):
        """The word before a stop is missing: one of those that often stand there."""
        answer = re.match(f"([A-Za-z]{{3,6}}){STOP}", rest)
        return [answer[1]] if answer and answer[1] in self.closers else None


def cut(text, task, least):
    """(context, what the task makes of the rest) of a passage's items, of which none shares a byte.

    The rest of the verse is cut to CONTINUATION bytes and must have `least`.
    """
    at = 0
    for space in re.finditer(" ", text):
        start = space.end()
        rest = text[start : start + CONTINUATION].split("\n")[0]
        made = task(rest) if start >= at + CONTEXT and len(rest) >= least else None
        if made:
            at = start + len(rest) + GAP
            yield text[start - CONTEXT : start], made


def split(draw, text, tasks):
    """The items of one split, and the numbers of the verses that they take."""
    used, lines = set(), []

    def collect(task, count, least=CONTINUATION):
        found = []
        while len(found) < count:
            numbers = next(draw)
            used.update(numbers)
            found.extend(cut("".join(text[v][1] + "\n" for v in numbers), task, least))
        return found[:count]

    for task in (tasks.spelling, tasks.order, tasks.word):
        for context, continuations in collect(task, ITEMS):
            lines.append({"task": task.__name__, "pairs": [(context, c) for c in continuations]})
    found = collect(tasks.schema, 4 * ITEMS)
    found = [found[i] for i in tasks.rng.permutation(len(found))]
    for i in range(0, len(found), 4):
        lines.append({"task": "schema", "pairs": [(context, found[i][1][0]) for context, _ in found[i : i + 4]]})
    for context, (answer,) in collect(tasks.cloze, ITEMS, least=1):
        lines.append({"task": "cloze", "context": context, "answer": answer})
    return "".join(json.dumps(line) + "\n" for line in lines), used


def save(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(text.encode("ascii"), 9, mtime=0))


def main():
    text = verses()
    rng = np.random.default_rng(SPLIT_SEED)
    tasks, draw = Tasks(" ".join(verse for _, verse in text), rng), passages(text, rng)
    here, held = pathlib.Path(__file__).parent, set()
    for name in SPLITS:
        lines, used = split(draw, text, tasks)
        save(here / name / "items.jsonl.gz", lines)
        held |= used
        print(name, lines.count("\n"), "items from", len(used), "verses")
    train = "".join(verse + "\n" for i, (_, verse) in enumerate(text) if i not in held)
    save(here / "train" / "kjv.txt.gz", train)
    print("train", len(train), "bytes")


if __name__ == "__main__":
    main()
