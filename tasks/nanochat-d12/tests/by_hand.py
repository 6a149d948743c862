"""Questions made of tests/bundle, put to a model whose answers can be worked out by hand.

    by_hand.py OUT

writes the questions to OUT/whole and prints JSON: the texts that are asked, the metrics, and how files are
divided. Tokens are the codes of characters. The model knows one thing: the order of the alphabet.
"""

import json
import os
import sys

import numpy as np

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(here, "..", "data"), os.path.join(here, "..", "evaluator")]
import prepare
import score

BOS = 2  # a code that no text has


def encode(texts):
    return [[BOS] + [ord(c) for c in text] for text in texts]


class Alphabet:
    """A loss of 0 for the next letter of the alphabet, and otherwise 1 and a little more for later letters."""

    def __init__(self):
        self.said = set()  # contexts with the token that the model gave for them

    def call(self, method, tokens, lengths, *spans, expect, deadline):
        rows = [row.tolist() for row in np.split(tokens, np.cumsum(lengths)[:-1])]
        if method == "losses":
            return np.asarray([self.loss(row, start, end) for row, (start, end) in zip(rows, spans[0].tolist())], np.float32)
        for row in rows:  # what follows a context is told only to a model that has said it
            if chr(row[-1]) in "cdez" and tuple(row) not in self.said:
                raise SystemExit("told what it had not said: %r" % "".join(map(chr, row)))
            self.said.add((*row, row[-1] + 1))
        return np.asarray([row[-1] + 1 for row in rows], np.int32)

    def loss(self, row, start, end):
        return np.mean([0 if row[i] == row[i - 1] + 1 else 1 + row[i] / 1000 for i in range(start, end)])


def main():
    tasks, lines = prepare.read_bundle(os.path.join(here, "bundle"))
    asked = {}
    for t in tasks:
        items = prepare.ordered(lines[t.file])
        places = [prepare.Place(items, i) for i in range(len(items))]
        asked[t.label] = [prepare.prompts(t, item, prepare.examples(items, p, t.shots)) for item, p in zip(items, places)]
    whole = os.path.join(sys.argv[1], "whole")
    prepare.write_questions(whole, prepare.questions(tasks, lines, lines, encode))
    metrics = score.score(Alphabet(), score.Questions(os.path.join(whole, "questions.npz")))
    numbered = ["line %d" % i for i in range(1000)]
    few, many = prepare.split(numbered[:32] + numbered[:5]), prepare.split(numbered)
    shown = [prepare.examples(few["practice"], prepare.Place(few["search"], i), 10) for i in range(len(few["search"]))]
    print(json.dumps({
        "asked": asked, "metrics": metrics, "few": few, "many": {name: len(part) for name, part in many.items()},
        "shown": sorted({line for lines in shown for line in lines}),
    }))


if __name__ == "__main__":
    main()
