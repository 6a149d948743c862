"""Lays CIFAR-10 out for this task: training images for the recipe, test images for the evaluator alone.

    python3 prepare_data.py CIFAR DIR [--certify N]

CIFAR holds `cifar-10-batches-py`, as the archive of that name unpacks; nothing is downloaded. Of the
10,000 test images the last N are kept from the search, for a certificate; then the search's gate is
measured on the others alone. Needs NumPy and PyTorch.
"""

import argparse
import pathlib
import pickle

import numpy as np
import torch


def batch(path):
    with open(path, "rb") as f:
        b = pickle.load(f, encoding="bytes")
    return b[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), np.array(b[b"labels"])


def held_out(at, images, labels):
    at.mkdir(parents=True, exist_ok=True)
    np.savez(at / "images.npz", images=np.ascontiguousarray(images), labels=labels)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("cifar", type=pathlib.Path)
    p.add_argument("dir", type=pathlib.Path)
    p.add_argument("--certify", type=int, default=0)
    a = p.parse_args()
    source = a.cifar / "cifar-10-batches-py"
    parts = [batch(source / f"data_batch_{i}") for i in range(1, 6)]
    train, labels = np.concatenate([i for i, _ in parts]), np.concatenate([n for _, n in parts])
    (a.dir / "train").mkdir(parents=True, exist_ok=True)
    with open(source / "batches.meta", "rb") as f:
        classes = pickle.load(f)["label_names"]
    torch.save({"images": torch.tensor(train), "labels": torch.tensor(labels), "classes": classes}, a.dir / "train" / "train.pt")
    test, labels = batch(source / "test_batch")
    first = len(test) - a.certify
    held_out(a.dir / "heldout", test[:first], labels[:first])
    if a.certify:
        held_out(a.dir / "certify", test[first:], labels[first:])


if __name__ == "__main__":
    main()
