# Stands for the little of PyTorch that harness.py touches.
import json

uint8, channels_last = "uint8", "channels_last"


class Tensor:
    def __init__(self, array):
        self.array = array

    def __getattr__(self, name):
        return lambda *args, **kwargs: self  # cuda, half, permute, to, float, cpu

    def __truediv__(self, _):
        return self

    def numpy(self):
        return self.array


def from_numpy(array):
    return Tensor(array)


def randint(high, size, dtype=None):
    return list(size)


def save(what, path):
    with open(path, "w") as f:
        json.dump(what, f)


def load(path):
    with open(path) as f:
        return json.load(f)
