"""A model of byte pairs in NumPy alone, and what a subject might try to know a byte before it predicts it.

No part of a run: lookahead_test.go measures it with each MODE.

    plain    predicts from the last byte, by the pairs counted in training
    learns   also counts whatever it has been told, in contexts of several bytes: the honest way to gain
    peeks    plain, but where it believes to know the next byte, it bets everything on it: because the byte is
             in the pipe already, because an earlier evaluation left it somewhere, or because what
             it has just been told was told before, in any stream
    late     holds its reply back until it has been told the byte
    revises  sends a better reply once it has been told the byte
"""

import gzip
import os
import select
import sys
import zlib

import numpy as np

MODE = "plain"

REPEAT = 64  # bytes that must have been told before, so that their continuation is believed to follow again
PLACES = ["/tmp", "/dev/shm", "/var/tmp", ".", os.environ.get("MENDEL_ARTIFACT", "."), os.path.expanduser("~")]
ORDERS = {2: 100.0, 3: 60.0, 4: 30.0, 6: 8.0}  # bytes of context: how many counts the shorter ones are worth


def train(text):
    pairs = np.bincount(text[:-1].astype(np.int64) * 256 + text[1:], minlength=65536).reshape(256, 256)
    return np.log((pairs + 0.05) / (pairs + 0.05).sum(1, keepdims=True)).astype("<f2")


class Counts:
    """How often each byte followed the last ORDER bytes, over all streams."""

    def __init__(self, order, worth):
        self.order, self.worth, self.rows, self.now = order, worth, {}, None
        self.table = np.zeros((65536, 256), np.uint8)

    def mix(self, heard, shorter):
        if self.now is not None:
            np.add.at(self.table, (self.now, heard[-1]), 1)
        if len(heard) < self.order:
            return shorter
        contexts = np.stack(heard[-self.order :], 1)
        self.now = [self.rows.setdefault(c.tobytes(), len(self.rows)) for c in contexts]
        seen = self.table[self.now].astype(np.float32)
        return (seen + self.worth * shorter) / (seen.sum(1, keepdims=True) + self.worth)


class Reader:
    def __init__(self, table, hears):
        self.table, self.hears, self.heard = table, hears, []
        self.counts = [Counts(order, worth) for order, worth in ORDERS.items()]
        self.follows = {}  # what came after each run of REPEAT bytes
        self.memories = [np.load(path) for path in map(self.memory, PLACES) if os.path.exists(path)]

    def memory(self, place):
        return os.path.join(place, "heard.npy")

    def step(self, told):
        self.heard.append(told)
        logits = self.table[told]
        if MODE == "learns":
            guess = np.exp(logits)
            for counts in self.counts:
                guess = counts.mix(self.heard, guess)
            logits = np.log(guess)
        if MODE == "peeks":
            known, next_byte = self.foresee(told)
            logits[known] = -30.0
            logits[known, next_byte[known]] = 30.0
            self.remember()
        return logits

    def foresee(self, told):
        """For which streams the next byte is believed to be known, and that byte."""
        known, guess = np.zeros(len(told), bool), np.zeros(len(told), np.int64)
        for stream, run in enumerate(self.runs(1)):
            self.follows[run] = told[stream]
        for stream, run in enumerate(self.runs(0)):
            if run in self.follows:
                known[stream], guess[stream] = True, self.follows[run]
        t = len(self.heard)
        for heard in self.memories:
            if len(heard) > t:
                same = (heard[:t] == np.stack(self.heard)).all(0)
                known, guess = known | same, np.where(same, heard[t], guess)
        if select.select([self.hears], [], [], 0.001)[0]:
            ahead = np.frombuffer(os.read(self.hears.fileno(), 1 << 20)[-len(told) :], np.uint8)
            known, guess = np.ones(len(told), bool), ahead.astype(np.int64)
        return known, guess

    def runs(self, ago):
        """The REPEAT bytes of each stream that were told before the last few, or nothing."""
        end = len(self.heard) - ago
        return [c.tobytes() for c in np.stack(self.heard[end - REPEAT : end], 1)] if end >= REPEAT else []

    def remember(self):
        for path in map(self.memory, PLACES):
            try:
                np.save(path, np.stack(self.heard))
            except OSError:
                pass  # no room for memories there


def serve():
    import mendel_subject as wire

    hears = os.fdopen(int(os.environ["MENDEL_FD_IN"]), "rb", buffering=0)  # nothing is read before its time
    says = os.fdopen(int(os.environ["MENDEL_FD_OUT"]), "wb")
    with open(os.path.join(os.environ["MENDEL_ARTIFACT"], "model.bin"), "rb") as file:
        table = np.frombuffer(zlib.decompress(file.read()), "<f2").reshape(256, 256).astype(np.float32)
    reader = Reader(table, hears)
    wire._send(says, wire.HELLO, {"protocol": 1})
    while True:
        kind, header, data = wire._receive(hears)
        if kind != wire.CALL:
            return
        (told,) = wire._unpack(header["tensors"], data)
        logits = reader.step(told)
        if MODE == "late":
            wire._receive(hears)
        if MODE == "revises" and len(reader.heard) > 1:
            wire._reply(says, header, 60.0 * np.eye(256)[told])
        wire._reply(says, header, logits)


def main():
    if "--serve" in sys.argv:
        return serve()
    if "--smoke" in sys.argv:
        text = np.arange(1000, dtype=np.uint8)
    else:
        with gzip.open(os.path.join(os.environ["MENDEL_DATA"], "train", "kjv.txt.gz")) as file:
            text = np.frombuffer(file.read(), np.uint8)
    with open(os.path.join(os.environ["MENDEL_OUT"], "model.bin"), "wb") as file:
        file.write(zlib.compress(train(text).tobytes(), 9))


if __name__ == "__main__":
    main()
