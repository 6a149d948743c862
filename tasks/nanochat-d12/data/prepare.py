"""Makes the data of nanochat-d12 out of a base directory that nanochat itself has filled.

    python3 prepare.py --base ~/.cache/nanochat --out /data/nanochat-d12

reads the tokenizer, the training shards and CORE's eval bundle, and writes

    OUT/base      what training sees: tokenizer, shards, and a practice bundle in the bundle's own format
    OUT/tokenizer what the model that answers sees
    OUT/search    the questions of every trial, as tokens: for the evaluator
    OUT/certify   other questions of the same kinds: for certificates

`--as-upstream` writes OUT/whole instead: every item, asked exactly as upstream asks it. A score on
it is upstream's CORE metric. It is for comparing with published numbers, not for a search.

Run it with nanochat's own Python: it needs tiktoken (to load the tokenizer), NumPy and PyYAML.
"""

import argparse
import csv
import hashlib
import json
import os
import pickle
import random
import shutil

import numpy as np
import yaml

ORDER_SEED = 1337  # upstream's: of the order of a file's items
EXAMPLE_SEED = 1234  # upstream's: of the examples, plus the item's place in that order
PRACTICE = 40  # items of a file for practice and for examples
FEW = 400  # a file of fewer items than this gives only LEAST
LEAST = 11  # one more than the most examples that a task of CORE asks for
KEYS = {"multiple_choice": "choices", "schema": "context_options", "language_modeling": None}


class Task:
    """One task of CORE, as the bundle's two tables describe it."""

    def __init__(self, entry, chances):
        self.entry = entry
        self.label, self.kind, self.file = entry["label"], entry["icl_task_type"], entry["dataset_uri"]
        self.shots = entry["num_fewshot"][0]
        self.delimiter = entry.get("continuation_delimiter", " ")
        self.chance = 0.01 * chances[self.label]
        if self.kind not in KEYS:
            raise SystemExit("%s: unknown kind of task %r" % (self.label, self.kind))


def read_bundle(bundle):
    """The tasks, and the lines of each file that they name."""
    with open(os.path.join(bundle, "core.yaml"), encoding="utf-8") as f:
        entries = yaml.safe_load(f)["icl_tasks"]
    with open(os.path.join(bundle, "eval_meta_data.csv"), encoding="utf-8") as f:
        chances = {row["Eval Task"]: float(row["Random baseline"]) for row in csv.DictReader(f)}
    tasks = [Task(e, chances) for e in entries]
    lines = {}
    for t in tasks:
        with open(os.path.join(bundle, "eval_data", t.file), encoding="utf-8") as f:
            lines[t.file] = [line.strip() for line in f]
    return tasks, lines


def split(lines):
    """Divides a file's lines into practice, search and certify, each in the file's order.

    Lines are ranked by the SHA-256 of their text, so that the division follows from the file
    alone. Equal lines go the same way.
    """
    ranked = sorted(set(lines), key=lambda line: hashlib.sha256(line.encode()).digest())
    practice = PRACTICE if len(ranked) >= FEW else LEAST
    part = {line: "practice" if i < practice else ("search", "certify")[(i - practice) % 2] for i, line in enumerate(ranked)}
    return {name: [line for line in lines if part[line] == name] for name in ("practice", "search", "certify")}


def ordered(lines):
    items = [json.loads(line) for line in lines]
    random.Random(ORDER_SEED).shuffle(items)
    return items


def examples(pool, place, shots):
    """The solved examples that stand before an item. An item is never its own example."""
    free = [i for i in range(len(pool)) if place.pool is not pool or i != place.index]
    if shots > len(free):
        raise SystemExit("%d examples are wanted and %d items can be one: the bundle has changed" % (shots, len(free)))
    return [pool[i] for i in random.Random(EXAMPLE_SEED + place.index).sample(free, shots)] if shots else []


class Place:
    """Where an item stands: the list, and its index in it."""

    def __init__(self, pool, index):
        self.pool, self.index = pool, index


def prompts(task, item, shown):
    """The texts whose tokens are scored: one for each choice, or context and context with continuation."""
    d = task.delimiter
    if task.kind == "multiple_choice":
        lead = "".join("%s%s%s\n\n" % (e["query"], d, e["choices"][e["gold"]]) for e in shown)
        return ["%s%s%s%s" % (lead, item["query"], d, choice) for choice in item["choices"]]
    if task.kind == "schema":
        lead = "".join("%s%s%s\n\n" % (e["context_options"][e["gold"]], d, e["continuation"]) for e in shown)
        return ["%s%s%s%s" % (lead, option, d, item["continuation"]) for option in item["context_options"]]
    lead = "".join("%s%s%s\n\n" % (e["context"].strip(), d, e["continuation"]) for e in shown)
    context = "%s%s%s" % (lead, item["context"].strip(), d)
    return [context.strip(), context + item["continuation"]]


def common(rows, step):
    """How many tokens all rows share at their beginning (step 1) or their end (step -1)."""
    n = 0
    for column in zip(*(row[::step] for row in rows)):
        if any(token != column[0] for token in column):
            break
        n += 1
    return n


def scored(task, rows):
    """The rows that are put to the model, each with the span of its tokens that counts."""
    if task.kind == "multiple_choice":
        start = common(rows, 1)
        return [(row, start, len(row)) for row in rows]
    if task.kind == "schema":
        suffix = common(rows, -1)
        return [(row, len(row) - suffix, len(row)) for row in rows]
    context, whole = rows
    if len(context) >= len(whole) or whole[: len(context)] != context:
        raise SystemExit("%s: the tokens of a context do not begin the tokens of context and continuation" % task.label)
    return [(whole, len(context), len(whole))]


def questions(tasks, lines, pools, encode):
    """All that an evaluator needs to know of these lines, as arrays."""
    tokens, rows, items = [], [], []
    for number, task in enumerate(tasks):
        asked = ordered(lines[task.file])
        pool = asked if pools is lines else ordered(pools[task.file])
        for index, item in enumerate(asked):
            shown = examples(pool, Place(asked, index), task.shots)
            spans = scored(task, encode(prompts(task, item, shown)))
            items.append((number, len(spans), item["gold"] if KEYS[task.kind] else 0))
            for row, start, end in spans:
                tokens.append(np.asarray(row, np.int32))
                rows.append((len(row), start, end))
    return {
        "tokens": np.concatenate(tokens),
        "rows": np.asarray(rows, np.int32),  # length, first and last + 1 of the tokens that count
        "items": np.asarray(items, np.int32),  # task, number of rows, the right one of them
        "labels": np.asarray([t.label for t in tasks]),
        "kinds": np.asarray([t.kind for t in tasks]),
        "chances": np.asarray([t.chance for t in tasks]),
    }


def tokenizer(base):
    """Upstream's encoding, as scripts.tok_train has left it."""
    with open(os.path.join(base, "tokenizer", "tokenizer.pkl"), "rb") as f:
        encoding = pickle.load(f)
    bos = encoding.encode_single_token("<|bos|>")
    return lambda texts: [[bos] + encoding.encode_ordinary(text) for text in texts]


def write_bundle(at, bundle, tasks, lines):
    """A bundle in upstream's own format."""
    for file in sorted({t.file for t in tasks}):
        path = os.path.join(at, "eval_data", file)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(line + "\n" for line in lines[file])
    with open(os.path.join(at, "core.yaml"), "w", encoding="utf-8") as f:
        yaml.safe_dump({"icl_tasks": [t.entry for t in tasks]}, f)
    shutil.copyfile(os.path.join(bundle, "eval_meta_data.csv"), os.path.join(at, "eval_meta_data.csv"))


def write_questions(at, arrays):
    os.makedirs(at)
    np.savez_compressed(os.path.join(at, "questions.npz"), **arrays)
    print("%s: %d items, %.1f million tokens" % (at, len(arrays["items"]), len(arrays["tokens"]) / 1e6))


def link_tree(source, to):
    """Copies a directory; on one file system its files are linked, which takes no space."""
    def link(a, b):
        try:
            os.link(a, b)
        except OSError:
            shutil.copyfile(a, b)
    shutil.copytree(source, to, copy_function=link)


def main():
    options = argparse.ArgumentParser(description="Makes the data of nanochat-d12.")
    options.add_argument("--base", required=True, help="nanochat's base directory (NANOCHAT_BASE_DIR)")
    options.add_argument("--out", required=True, help="an empty or new directory")
    options.add_argument("--as-upstream", action="store_true", help="every item, asked as upstream asks it; not for a search")
    args = options.parse_args()
    bundle = os.path.join(args.base, "eval_bundle")
    encode = tokenizer(args.base)
    tasks, lines = read_bundle(bundle)
    if args.as_upstream:
        write_questions(os.path.join(args.out, "whole"), questions(tasks, lines, lines, encode))
        return
    parts = {file: split(all_lines) for file, all_lines in lines.items()}
    of = lambda name: {file: part[name] for file, part in parts.items()}
    for place, name in (("base", "tokenizer"), ("base", "base_data_climbmix"), ("tokenizer", "tokenizer")):
        link_tree(os.path.join(args.base, name), os.path.join(args.out, place, name))
    write_bundle(os.path.join(args.out, "base", "eval_bundle"), bundle, tasks, of("practice"))
    for name in ("search", "certify"):
        write_questions(os.path.join(args.out, name), questions(tasks, of(name), of("practice"), encode))


if __name__ == "__main__":
    main()
