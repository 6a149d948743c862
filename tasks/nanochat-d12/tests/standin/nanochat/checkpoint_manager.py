"""Stands for upstream's loader: a table of logits instead of a network."""

import glob
import json
import os
import time

import numpy as np
import torch


def load_model_from_dir(checkpoints, device, phase):
    assert phase == "eval"
    with open(*glob.glob(os.path.join(checkpoints, "d12", "meta_*.json"))) as f:
        how = json.load(f)["how"]
    table = torch.from_numpy(np.load(*glob.glob(os.path.join(checkpoints, "d12", "model_*.pt")))).float()

    def model(ids):
        if how == "slow answers":
            time.sleep(600)
        if how == "dies under questions":
            raise ValueError(ids)
        return table[ids]

    return model, None, None
