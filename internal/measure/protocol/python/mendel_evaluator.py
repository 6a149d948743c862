"""Question a subject, and write down what came of it.

    from mendel_evaluator import connect, result

    subject = connect()
    out = subject.call("logits", images, expect=[("f4", (450, 10))], deadline=5.0)
    subject.close()
    result({"accuracy": float((out.argmax(1) == labels).mean())})

Arrays are NumPy arrays where NumPy is there, otherwise pairs (memoryview of bytes, shape), for
which a call needs triples (dtype, shape, bytes). Types are u1 i4 i8 f4 f8. The runner between the
two sides has checked every reply: types, shapes, no NaN, no infinity.
"""

import json
import os
import struct

try:
    import numpy
except (ImportError, OSError):  # not there, or not to be seen
    numpy = None

HELLO, CALL, REPLY, BYE, FAILED = 1, 2, 3, 4, 5
SIZES = {"u1": 1, "i4": 4, "i8": 8, "f4": 4, "f8": 8}


class SubjectGone(Exception):
    """The subject will not answer any more. Let it propagate: the runner knows more about it."""


def connect():
    """Say hello, and return the Subject once it has said hello too."""
    subject = Subject(os.fdopen(int(os.environ["MENDEL_FD_IN"]), "rb"), os.fdopen(int(os.environ["MENDEL_FD_OUT"]), "wb"))
    subject._send(HELLO, {"protocol": 1})
    subject._receive(HELLO)
    return subject


def result(metrics):
    """Write the metrics: a dict of names and finite numbers. The last call counts."""
    path = os.environ["MENDEL_RESULT"]
    with open(path + ".new", "w") as f:
        json.dump({name: float(value) for name, value in metrics.items()}, f, allow_nan=False)
    os.replace(path + ".new", path)


class Subject:
    def __init__(self, hears, says):
        self._hears, self._says = hears, says

    def call(self, method, *arrays, expect=(), deadline=None, expect_meta=False, **meta):
        """Ask one question. Returns the array, or a list where not exactly one is expected; with
        expect_meta, a pair of that and the dict that the subject gave. deadline is in seconds."""
        blocks = [_block(a) for a in arrays]
        expected = [{"dtype": t, "shape": [int(n) for n in shape]} for t, shape in expect]
        header = {"method": method, "tensors": [{"dtype": t, "shape": shape} for t, shape, _ in blocks], "expect": expected}
        if meta:
            header["meta"] = meta
        if expect_meta:
            header["expect_meta"] = True
        if deadline is not None:
            header["deadline_ms"] = deadline * 1000
        self._send(CALL, header, [data for _, _, data in blocks])
        reply, data = self._receive(REPLY)
        answer = _unpack(expected, data)
        if len(answer) == 1:
            answer = answer[0]
        return (answer, reply.get("meta", {})) if expect_meta else answer

    def close(self):
        """Say that there are no more questions. The clock of the phase stops here."""
        self._send(BYE, {})

    def _send(self, kind, header, blocks=()):
        header = json.dumps(header).encode()
        length = 5 + len(header) + sum(b.nbytes for b in blocks)
        try:
            self._says.write(struct.pack("<IBI", length, kind, len(header)) + header)
            for b in blocks:
                self._says.write(b)
            self._says.flush()
        except BrokenPipeError:
            raise SubjectGone("the runner has ended the conversation") from None

    def _receive(self, want):
        length, kind, size = struct.unpack("<IBI", self._exactly(9))
        header = json.loads(self._exactly(size) or b"{}")
        data = self._exactly(length - 5 - size)
        if kind == FAILED:
            raise SubjectGone(header.get("error", "no reason given"))
        if kind != want:
            raise SubjectGone("unexpected frame of kind %d" % kind)
        return header, data

    def _exactly(self, n):
        data = bytearray(n)
        view, done = memoryview(data), 0
        while done < n:
            got = self._hears.readinto(view[done:])
            if not got:
                raise SubjectGone("the runner has ended the conversation")
            done += got
        return data


def _block(array):
    if numpy is None or isinstance(array, tuple):
        dtype, shape, data = array
        return dtype, list(shape), memoryview(data).cast("B")
    array = numpy.asarray(array)
    dtype = array.dtype.kind + str(array.dtype.itemsize)
    if dtype not in SIZES:
        raise TypeError("cannot send dtype %s: convert it to one of %s" % (array.dtype, ", ".join(SIZES)))
    shape = list(array.shape)
    array = numpy.ascontiguousarray(array, dtype="<" + dtype)
    return dtype, shape, memoryview(array.reshape(-1).view("u1"))


def _unpack(tensors, data):
    arrays, at = [], 0
    for t in tensors:
        count = 1
        for d in t["shape"]:
            count *= d
        size = count * SIZES[t["dtype"]]
        if numpy is None:
            arrays.append((memoryview(data)[at : at + size], tuple(t["shape"])))
        else:
            arrays.append(numpy.frombuffer(data, "<" + t["dtype"], count, at).reshape(t["shape"]))
        at += size
    return arrays
