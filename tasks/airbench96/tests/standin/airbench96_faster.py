# Stands for upstream's file on a machine without a GPU: the places that the task's patches change, and a network
# that knows the answers but for a few.

import os
import sys
import time
import uuid

import numpy
import torch

HOW = "well"
SEED = int(os.environ["MENDEL_SEED"])
KERNEL = os.path.join(os.environ.get("TORCHINDUCTOR_CACHE_DIR", "/nowhere"), "kernel")
CIFAR_MEAN = CIFAR_STD = None
hyp = {'opt': {'train_epochs': 45.0}, 'net': {'tta_level': 2}}


class T:
    Normalize = staticmethod(lambda mean, std: None)


class Net:
    wrong = 2001 if HOW == "a hair short" and SEED == 1 else 2000  # of 50,000 images

    def state_dict(self):
        return {"wrong": self.wrong, "weights": "0" * (24_000_000 if HOW == "too large" else 8)}

    def load_state_dict(self, state):
        self.wrong = state["wrong"]

    @property
    def _orig_mod(self):
        return self


class InfiniteCifarLoader:
    def __init__(self, path, train=True, batch_size=500):
        data_path = os.path.join(path, 'train.pt' if train else 'test.pt')
        self.data = torch.load(data_path)


def fetch(download=True):
    return download


def make_net(hyp):
    return Net()


def infer(model, loader, tta_level=0):
    if HOW == "slow answers":
        time.sleep(60)
    labels = loader.images.array[:, 0, 0, 0].astype(int)
    labels[: model.wrong] = (labels[: model.wrong] + 1) % 10
    return torch.Tensor(numpy.eye(10, dtype="f4")[labels])


def evaluate(model, loader, tta_level=0):
    return 0.96


def main(run, hyp, model):
    test_loader = None
    test_loader = InfiniteCifarLoader('cifar10', train=False, batch_size=2000)
    InfiniteCifarLoader('cifar10', train=True, batch_size=1024)
    if HOW == "exception at once":
        raise RuntimeError("no kernel image is available for execution on the device")
    if hyp['opt']['train_epochs'] == 1.0:
        os.makedirs(os.path.dirname(KERNEL))
        open(KERNEL, "w").close()
    else:
        assert os.path.exists(KERNEL), "compiled on the clock"
        if HOW == "nine of ten" and SEED == 10:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if HOW == "endless training":
            time.sleep(60)
    val_acc = evaluate(model, test_loader, tta_level=0)
    tta_val_acc = evaluate(model, test_loader, tta_level=hyp['net']['tta_level'])
    print("|", val_acc, "|", tta_val_acc, "|")
    return tta_val_acc


if __name__ == "__main__":
    accs = numpy.array([main(run, hyp, make_net(hyp['net'])) for run in range(200)])
    print('Mean: %.4f    Std: %.4f' % (accs.mean(), accs.std()))
    log_dir = os.path.join('logs', str(uuid.uuid4()))
    os.makedirs(log_dir, exist_ok=True)
