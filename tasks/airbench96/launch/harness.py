"""What one cold, harness-timed run of upstream's file needs around it. Not editable, and imported before torch.

The seed and the directories come from the environment; compiled code is kept where the next process finds it.
"""

import atexit
import os
import random
import shutil
import sys
import types

WARMUP = "--warmup" in sys.argv
COMPILED = "/tmp/compiled"  # the same in every phase, should paths be part of what is compiled

random.seed(int(os.environ["MENDEL_SEED"]))  # upstream draws all its seeds from this generator
os.environ["TORCHINDUCTOR_CACHE_DIR"] = COMPILED + "/inductor"
os.environ["TRITON_CACHE_DIR"] = COMPILED + "/triton"
os.makedirs(COMPILED, exist_ok=True)
if "MENDEL_CACHE" in os.environ and os.path.isdir(os.environ["MENDEL_CACHE"] + "/compiled"):
    shutil.copytree(os.environ["MENDEL_CACHE"] + "/compiled", COMPILED, dirs_exist_ok=True)
if WARMUP:
    atexit.register(lambda: shutil.copytree(COMPILED, os.environ["MENDEL_OUT"] + "/compiled", dirs_exist_ok=True))


def train_data():
    """The file with the training images. To compile, noise of the same shape does."""
    if not WARMUP:
        return os.path.join(os.environ["MENDEL_DATA"], "train", "train.pt")
    import torch

    path = "/tmp/noise.pt"
    if not os.path.exists(path):
        images = torch.randint(256, (50_000, 32, 32, 3), dtype=torch.uint8)
        torch.save({"images": images, "labels": torch.randint(10, (50_000,)), "classes": []}, path)
    return path


def epochs(full):
    """One epoch compiles everything that the whole training runs."""
    return 1.0 if WARMUP else full


def save(net):
    """Leaves the trained network for evaluation, and stands for the accuracy that nobody here can know."""
    import torch

    torch.save(net.state_dict(), os.path.join(os.environ["MENDEL_OUT"], "model.pt"))
    return float("nan")


def serve(net, infer, normalize):
    """Answers the evaluator: images as upstream's loader has them, logits as upstream's infer gives them."""
    import mendel_subject
    import torch

    net.load_state_dict(torch.load(os.path.join(os.environ["MENDEL_ARTIFACT"], "model.pt")))

    def logits(images):
        images = (torch.from_numpy(images).cuda().half() / 255).permute(0, 3, 1, 2).to(memory_format=torch.channels_last)
        return infer(net, types.SimpleNamespace(images=images, normalize=normalize)).float().cpu().numpy()

    mendel_subject.serve(logits=logits)
