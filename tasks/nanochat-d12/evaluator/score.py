"""Scores a language model on CORE: few-shot tasks, each centred by chance, and their mean.

The questions come as tokens, made by data/prepare.py. Which choice is right, and how a context
goes on, never leaves this process:

- Multiple choice and schema: every choice goes out, one mean loss a choice comes in, and the
  lowest is the answer.
- Language modelling: the context goes out, one token comes in. Only a model that has said the
  right token is told it, and asked for the next. To say the whole continuation so is the same as
  to have it as the likeliest token at each of its places, which is how upstream decides.
"""

import os

import numpy as np
from mendel_evaluator import connect, result

REPLY_SECONDS = 300.0  # the first reply also pays for what the subject puts off until then
ROWS = 128  # prompts in one question
TOKENS = 1 << 18  # and about this many tokens


class Questions:
    """The split that this process was given."""

    def __init__(self, path):
        with np.load(path) as data:
            self.tokens, self.rows, self.items = data["tokens"], data["rows"], data["items"]
            self.labels, self.kinds, self.chances = (data[name].tolist() for name in ("labels", "kinds", "chances"))
        self.token_at = np.concatenate([[0], np.cumsum(self.rows[:, 0])])
        self.row_at = np.concatenate([[0], np.cumsum(self.items[:, 1])])

    def of(self, task):
        """The items of a task, those with short prompts first. So rows of like length are asked
        together, and where one context quotes the answer to another it comes after that one."""
        items = np.flatnonzero(self.items[:, 0] == task)
        longest = [max(self.rows[r, 0] for r in self.rows_of(i)) for i in items]
        return items[np.argsort(longest, kind="stable")]

    def rows_of(self, item):
        return range(self.row_at[item], self.row_at[item + 1])

    def row(self, r):
        """A prompt's tokens, and the span of those that count."""
        _, start, end = self.rows[r]
        return self.tokens[self.token_at[r] : self.token_at[r + 1]], int(start), int(end)


def find():
    for split in ("certify", "heldout"):
        path = os.path.join(os.environ["MENDEL_DATA"], split, "questions.npz")
        if os.path.exists(path):
            return path
    raise SystemExit("score.py: no questions.npz under MENDEL_DATA/heldout or MENDEL_DATA/certify: data/prepare.py makes them")


def batches(things, rows_of, length_of):
    """Cuts a list into groups of at most about ROWS rows and TOKENS tokens."""
    group, rows, longest = [], 0, 0
    for thing in things:
        n, longest = rows_of(thing), max(longest, length_of(thing))
        if group and (rows + n > ROWS or (rows + n) * longest > TOKENS):
            yield group
            group, rows, longest = [], 0, length_of(thing)
        group.append(thing)
        rows += n
    if group:
        yield group


def flat(rows):
    return np.concatenate(rows).astype(np.int32), np.asarray([len(r) for r in rows], np.int32)


def lowest(losses):
    """The index of the lowest loss. A choice without a token of its own has no loss (NaN); upstream's
    minimum stays on it where it comes first, and passes over it elsewhere."""
    best = 0
    for i, loss in enumerate(losses):
        if loss < losses[best]:
            best = i
    return best


def chosen(subject, questions, task):
    """For each item of a multiple-choice or schema task, whether the right choice has the lowest loss."""
    length = lambda item: max(questions.rows[r, 0] for r in questions.rows_of(item))
    for group in batches(questions.of(task), lambda item: questions.items[item, 1], length):
        losses = {}
        asked = [r for item in group for r in questions.rows_of(item) if 0 < questions.rows[r, 1] < questions.rows[r, 2]]
        if asked:
            tokens, lengths = flat([questions.row(r)[0] for r in asked])
            spans = questions.rows[asked, 1:]
            answer = subject.call("losses", tokens, lengths, spans, expect=[("f4", (len(asked),))], deadline=REPLY_SECONDS)
            losses = dict(zip(asked, answer.tolist()))
        for item in group:
            yield lowest([losses.get(r, float("nan")) for r in questions.rows_of(item)]) == questions.items[item, 2]


def continued(subject, questions, task):
    """For each item of a language-modelling task, whether the model goes on with its very continuation."""
    row = lambda item: questions.row(questions.row_at[item])
    for group in batches(questions.of(task), lambda item: 1, lambda item: len(row(item)[0])):
        said = {item: row(item)[1] for item in group}  # how much of the row the model knows
        while said:
            tokens, lengths = flat([row(item)[0][:n] for item, n in said.items()])
            answer = subject.call("next_tokens", tokens, lengths, expect=[("i4", (len(said),))], deadline=REPLY_SECONDS)
            for token, (item, n) in zip(answer.tolist(), list(said.items())):
                whole, _, end = row(item)
                if token == whole[n] and n + 1 < end:
                    said[item] = n + 1
                    continue
                del said[item]
                yield token == whole[n]


def score(subject, questions):
    """The mean of the centred accuracies, over all tasks and over those of each kind."""
    centred = {}
    for task, (label, kind, chance) in enumerate(zip(questions.labels, questions.kinds, questions.chances)):
        ask = continued if kind == "language_modeling" else chosen
        right = list(ask(subject, questions, task))
        accuracy = sum(right) / len(right)
        centred[label] = (accuracy - chance) / (1.0 - chance)
        print("%s: %d items, accuracy %.4f, centred %.4f" % (label, len(right), accuracy, centred[label]), flush=True)
    mean = lambda values: sum(values) / len(values)
    metrics = {"core_metric": mean(list(centred.values()))}
    for kind in set(questions.kinds):
        metrics["core_" + kind] = mean([centred[label] for label, k in zip(questions.labels, questions.kinds) if k == kind])
    return metrics


def main():
    questions = Questions(find())
    subject = connect()
    metrics = score(subject, questions)
    subject.close()
    result(metrics)


if __name__ == "__main__":
    main()
