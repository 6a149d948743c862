"""Pretrains a small byte-level GPT on one core, then answers questions about unseen text.

    train.py                train on $MENDEL_DATA/train, leave $MENDEL_OUT/model.bin
    train.py --serve        load $MENDEL_ARTIFACT/model.bin and answer the evaluator
    train.py --smoke        a few steps on made-up text and one answer of each kind, no data needed
    train.py --param-count  print the weights, and the bytes that they are saved in

Read from main() upwards. Shapes: B sequences, T bytes, D = WIDTH.
"""

import time

STARTED = time.monotonic()  # before the imports: they take a second of the budget

import gzip
import io
import math
import os
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# Architecture
LAYERS = 2
WIDTH = 32
HEADS = 2
MLP_RATIO = 4
ACTIVATION = "gelu"  # gelu, relu or silu
INIT_STD = 0.02  # of every matrix; those that feed the residual stream start smaller

# Optimizer
LEARNING_RATE = 0.003
BETA1 = 0.9
BETA2 = 0.99
WEIGHT_DECAY = 0.1
GRADIENT_CLIP = 1.0  # largest norm of the gradient; 0 switches it off

# Schedule
TRAIN_SECONDS = 21.0  # from the start of the process to the last step
WARMUP_FRACTION = 0.1  # of the training time
FINAL_LR_FRACTION = 0.3
SCHEDULE = "cosine"  # cosine or linear
BATCH_SIZE = 16  # sequences a step, at the end
START_BATCH = 16  # and at first
CONTEXT = 96  # bytes of a sequence, at the end; at least the 72 of a question
START_CONTEXT = 96  # and at first
GROW_UNTIL = 0.5  # part of the time after which batch and sequences have full size

# Data
ORDER = "book"  # book: from front to back, a BATCH_SIZE-th of the text each row; or shuffled
START_AT_VERSE = False  # sequences begin where a verse does
TEXT_FRACTION = 1.0  # part of the text that is read at all; less is repeated sooner

# Systems
DTYPE = "float32"  # of products of matrices: float32 or bfloat16; weights are float32 all the same
MICRO_BATCHES = 2  # pieces in which a step's gradient is computed
FOREACH = False  # one update for all weights at once
LOG_EVERY = 10  # steps

ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu, "silu": F.silu}
ASKED, ANSWER = 48, 7  # bytes of a question's context, and of the answer to a cloze


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))

    def forward(self, x, cache):
        """cache is None, or the layer's keys and values of the bytes before x; it grows."""
        b, t, _ = x.shape
        q, k, v = (f(x).view(b, t, HEADS, WIDTH // HEADS).transpose(1, 2) for f in (self.query, self.key, self.value))
        if cache is not None:
            cache[:] = [k, v] if not cache else [torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)]
            k, v = cache
        scores = q @ k.transpose(2, 3) / math.sqrt(WIDTH // HEADS)  # (B, heads, T, past + T)
        ahead = torch.ones(t, k.shape[2], dtype=torch.bool).triu(k.shape[2] - t + 1)
        scores = scores.masked_fill(ahead, float("-inf"))
        return self.out((scores.softmax(3) @ v).transpose(1, 2).reshape(b, t, WIDTH))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(WIDTH), Attention()
        self.norm2 = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, MLP_RATIO * WIDTH, bias=False)
        self.down = nn.Linear(MLP_RATIO * WIDTH, WIDTH, bias=False)

    def forward(self, x, cache=None):
        x = x + self.attention(self.norm1(x), cache)
        return x + self.down(ACTIVATIONS[ACTIVATION](self.up(self.norm2(x))))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.bytes = nn.Embedding(256, WIDTH)
        self.positions = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 256, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                deep = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(weight, std=INIT_STD / math.sqrt(2 * LAYERS) if deep else INIT_STD)

    def forward(self, x, caches=None, position=0):
        """Logits (B, T, 256) for the byte after each of x (B, T), the first of which stands at position."""
        h = self.bytes(x) + self.positions(torch.arange(position, position + x.shape[1]))
        with torch.autocast("cpu", torch.bfloat16, enabled=DTYPE == "bfloat16"):
            for i, block in enumerate(self.blocks):
                h = block(h, None if caches is None else caches[i])
            return self.head(self.norm(h)).float()


class Text:
    """Deals out training sequences. text is a tensor of byte values."""

    def __init__(self, text, rng):
        self.text, self.rng, self.dealt = text[: int(len(text) * TEXT_FRACTION)], rng, 0
        self.verses = (self.text == 10).nonzero()[:, 0] + 1

    def batch(self, count, length):
        """(count, length + 1) bytes: a sequence, and the byte after it."""
        last = len(self.text) - length - 1
        if ORDER == "shuffled":
            first = torch.from_numpy(self.rng.integers(0, last, count))
        else:
            first = (torch.arange(count) * (len(self.text) // count) + self.dealt) % last
            self.dealt += length
        if START_AT_VERSE:
            first = self.verses[torch.searchsorted(self.verses, first).clamp(max=len(self.verses) - 1)].clamp(max=last)
        return self.text[first[:, None] + torch.arange(length + 1)].long()


def learning_rate(done):
    """done is the fraction of the training time that has passed, 0..1."""
    if done < WARMUP_FRACTION:
        return LEARNING_RATE * (done / WARMUP_FRACTION + 0.01)
    left = 1 - (done - WARMUP_FRACTION) / (1 - WARMUP_FRACTION)
    shape = left if SCHEDULE == "linear" else (1 - math.cos(math.pi * left)) / 2
    return LEARNING_RATE * (FINAL_LR_FRACTION + (1 - FINAL_LR_FRACTION) * shape)


def grown(start, end, done):
    return end if done >= GROW_UNTIL else round(start + (end - start) * done / GROW_UNTIL)


def train(text, clock):
    """text deals out sequences; clock says which fraction of the training time has passed."""
    model = Model()
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(BETA1, BETA2), foreach=FOREACH)
    step = read = 0
    while (done := clock(step)) < 1:
        batch = text.batch(grown(START_BATCH, BATCH_SIZE, done), grown(START_CONTEXT, CONTEXT, done))
        optimizer.zero_grad()
        total = 0.0
        for piece in batch.chunk(MICRO_BATCHES):
            loss = F.cross_entropy(model(piece[:, :-1]).flatten(0, 1), piece[:, 1:].flatten())
            loss = loss * len(piece) / len(batch)
            loss.backward()
            total += loss.item()
        if GRADIENT_CLIP:
            nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_CLIP)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(done)
        optimizer.step()
        step, read = step + 1, read + batch.numel()
        if step % LOG_EVERY == 0:
            print(f"step {step} at {100 * done:.0f} % loss {total:.4f}")
    print(f"{step} steps, {read} bytes read")
    return model


def save(model):
    raw = io.BytesIO()
    torch.save({name: weight.half() for name, weight in model.state_dict().items()}, raw)
    return raw.getvalue()


def load(saved):
    model = Model()
    model.load_state_dict(torch.load(io.BytesIO(saved)))
    return model.eval()


class Answers:
    """What the evaluator may ask. All arrays hold bytes; a context has ASKED of them."""

    def __init__(self, model):
        self.model = model

    def read(self, context):
        """The logits for the byte after context, and the caches to go on with."""
        caches = [[] for _ in range(LAYERS)]
        return self.model(torch.from_numpy(context.astype(np.int64)), caches)[:, -1:], caches

    def score(self, context, continuation):
        """Log-probability of each continuation. Rows that share a context have it read once."""
        distinct, row = np.unique(context, axis=0, return_inverse=True)
        row = row.reshape(-1)  # NumPy 2.0 gives it another shape
        first, caches = self.read(distinct)
        for cache in caches:
            cache[:] = [part[row] for part in cache]
        told = torch.from_numpy(continuation.astype(np.int64))
        logits = torch.cat([first[row], self.model(told[:, :-1], caches, ASKED)], 1)
        return logits.log_softmax(2).gather(2, told[:, :, None]).sum((1, 2)).numpy()

    def complete(self, context):
        """The ANSWER bytes that are likeliest, one after the other."""
        logits, caches = self.read(context)
        said = [logits.argmax(2)]
        while len(said) < ANSWER:
            said.append(self.model(said[-1], caches, ASKED + len(said) - 1).argmax(2))
        return torch.cat(said, 1).numpy()


def serve(saved):
    import mendel_subject

    answers = Answers(load(saved))
    mendel_subject.serve(score=answers.score, complete=answers.complete)


def main():
    torch.set_num_threads(1)
    seed = int(os.environ.get("MENDEL_SEED", "0"))
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    if "--serve" in sys.argv:
        with torch.no_grad(), open(os.path.join(os.environ["MENDEL_ARTIFACT"], "model.bin"), "rb") as file:
            return serve(file.read())
    if "--param-count" in sys.argv:
        model = Model()
        return print(f"{sum(p.numel() for p in model.parameters())} weights, saved in {len(save(model))} bytes")
    if "--smoke" in sys.argv:
        made_up = torch.from_numpy(rng.choice([10, 32, 97, 101, 116], 64 * CONTEXT).astype(np.uint8))
        model = train(Text(made_up, rng), lambda step: step / 3)
        with torch.no_grad():
            answers, asked = Answers(model.eval()), made_up[: 4 * ASKED].view(4, ASKED).numpy()
            print("scores", answers.score(asked, asked[:, :24]), "completed", answers.complete(asked).shape)
    else:
        with gzip.open(os.path.join(os.environ["MENDEL_DATA"], "train", "kjv.txt.gz")) as file:
            text = Text(torch.from_numpy(np.frombuffer(file.read(), np.uint8).copy()), rng)
        begin = time.monotonic()
        seconds = max(STARTED + TRAIN_SECONDS - begin, 0.001)
        model = train(text, lambda step: (time.monotonic() - begin) / seconds)
    saved = save(model)
    with open(os.path.join(os.environ["MENDEL_OUT"], "model.bin"), "wb") as file:
        file.write(saved)
    print(f"{len(saved)} bytes saved")


if __name__ == "__main__":
    main()
