"""Scores a subject's predictions of held-out text in bits per byte.

The streams are read in lockstep: the subject commits 256 logits for byte t of every stream before
any byte t is sent. So whatever it does with the bytes it has been told, it cannot look ahead.
"""

import os

import numpy as np
from mendel_evaluator import connect, result

REPLY_SECONDS = 8.0  # the first reply also pays for whatever the subject puts off until then


def streams():
    """The held-out streams (streams, bytes) that this process was given: one of the two splits."""
    for split in ("certify", "heldout"):
        path = os.path.join(os.environ["MENDEL_DATA"], split, "streams.npz")
        if os.path.exists(path):
            with np.load(path) as data:
                return data["streams"]
    raise SystemExit("score.py: no streams.npz under MENDEL_DATA/heldout or MENDEL_DATA/certify")


def nats(logits, actual):
    """-log softmax(logits) of the actual bytes, in double precision: (streams,)."""
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), actual]


def main():
    text = streams()
    count, length = text.shape
    subject = connect()
    told = np.full(count, ord("\n"), np.uint8)  # a stream begins where a verse does
    total = 0.0
    for t in range(length):
        logits = subject.call("step", told, expect=[("f4", (count, 256))], deadline=REPLY_SECONDS)
        told = np.ascontiguousarray(text[:, t])
        total += nats(logits, told).sum()
    subject.close()
    result({"val_bpb": total / text.size / np.log(2)})


if __name__ == "__main__":
    main()
