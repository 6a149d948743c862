"""Answer an evaluator's calls with functions of yours.

    import mendel_subject

    def logits(images):              # float32 [450, 64]
        return model(images)         # float32 [450, 10]

    mendel_subject.serve(logits=logits)

A function gets the call's tensors as positional arguments and the call's other values as keyword
arguments; it returns one array, or a tuple of as many as the evaluator expects (and after them a
dict, where the evaluator asked for one). serve returns when the evaluator has asked everything.

Arrays are NumPy arrays. Where there is no NumPy they are pairs (bytes, shape), and a function
returns a list of such pairs.
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


def serve(**methods):
    hears = os.fdopen(int(os.environ["MENDEL_FD_IN"]), "rb")
    says = os.fdopen(int(os.environ["MENDEL_FD_OUT"]), "wb")
    _send(says, HELLO, {"protocol": 1})
    while True:
        kind, header, data = _receive(hears)
        if kind == BYE:
            return
        if kind == FAILED:
            raise RuntimeError("the evaluation is over: " + header.get("error", "no reason given"))
        if kind != CALL:
            raise RuntimeError("unexpected frame of kind %d" % kind)
        name = header["method"]
        if name not in methods:
            raise NameError("the evaluator asks for %r, which serve() was not given" % name)
        answer = methods[name](*_unpack(header["tensors"], data), **header.get("meta", {}))
        _reply(says, header, answer)


def _reply(says, call, answer):
    if isinstance(answer, dict):
        answer = (answer,)
    answer = list(answer) if isinstance(answer, tuple) or numpy is None else [answer]
    expected = call.get("expect") or []
    header = {}
    if call.get("expect_meta"):
        header["meta"] = answer.pop()
    if not expected and answer == [None]:
        answer = []
    if len(answer) != len(expected):
        raise ValueError("%s returned %d arrays, the evaluator expects %d" % (call["method"], len(answer), len(expected)))
    blocks = []
    for array, want in zip(answer, expected):
        shape = tuple(want["shape"])
        if numpy is None:
            array, got = array
        else:
            array = numpy.ascontiguousarray(array, dtype="<" + want["dtype"])
            got = array.shape if shape else ()
        if tuple(got) != shape:
            raise ValueError("%s returned shape %s, the evaluator expects %s" % (call["method"], tuple(got), shape))
        blocks.append(array)
    header["tensors"] = expected
    _send(says, REPLY, header, blocks)


def _send(out, kind, header, blocks=()):
    header = json.dumps(header).encode()
    blocks = [memoryview(b.reshape(-1).view("u1")) if numpy is not None else memoryview(b).cast("B") for b in blocks]
    length = 5 + len(header) + sum(b.nbytes for b in blocks)
    out.write(struct.pack("<IBI", length, kind, len(header)) + header)
    for b in blocks:
        out.write(b)
    out.flush()


def _receive(source):
    length, kind, size = struct.unpack("<IBI", _exactly(source, 9))
    header = json.loads(_exactly(source, size) or b"{}")
    return kind, header, _exactly(source, length - 5 - size)


def _exactly(source, n):
    data = bytearray(n)  # and not bytes, so that the arrays made of it can be written to
    view, done = memoryview(data), 0
    while done < n:
        got = source.readinto(view[done:])
        if not got:
            raise EOFError("the other side is gone")
        done += got
    return data


def _unpack(tensors, data):
    arrays, at = [], 0
    for t in tensors:
        shape = tuple(t["shape"])
        count = 1
        for d in shape:
            count *= d
        size = count * SIZES[t["dtype"]]
        if numpy is None:
            arrays.append((memoryview(data)[at : at + size], shape))
        else:
            arrays.append(numpy.frombuffer(data, "<" + t["dtype"], count, at).reshape(shape))
        at += size
    return arrays
