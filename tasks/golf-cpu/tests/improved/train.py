"""Trains a small byte-level GPT on one core, packs it, then predicts held-out text byte by byte.

    train.py                train on $MENDEL_DATA/train, leave $MENDEL_OUT/model.bin
    train.py --serve        load $MENDEL_ARTIFACT/model.bin and answer the evaluator, step by step
    train.py --smoke        a few steps on made-up text, no data needed
    train.py --param-count  print the weights, and the bytes that they pack into before training

Read from main() upwards. Shapes: B sequences or streams, T bytes, D = WIDTH.
"""

import time

STARTED = time.monotonic()  # before the imports: they take a second of the budget

import gzip
import json
import math
import os
import struct
import sys
import zlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# Architecture
LAYERS = 2
WIDTH = 32
HEADS = 2
MLP_RATIO = 4
ACTIVATION = "relu"  # gelu, relu or silu
INIT_STD = 0.1  # of every matrix; those that feed the residual stream start smaller

# Input layer
INPUT_SCALE = 1.0  # of the byte embedding at the input; the output layer shares its weights
BIGRAM_BUCKETS = 768  # rows of a hashed embedding of the last two bytes; 0 leaves it out
BIGRAM_STD = 0.05

# Optimization
LEARNING_RATE = 0.012
BETA1 = 0.9
BETA2 = 0.95
WARMUP_FRACTION = 0.05  # of the training time
FINAL_LR_FRACTION = 0.02
SCHEDULE = "linear"  # cosine or linear

# Budget
TRAIN_SECONDS = 17.5  # from the start of the process to the last step
BATCH_SIZE = 16
CONTEXT = 64  # bytes that the model can look back on

# Curriculum
START_CONTEXT = 64  # bytes of a training sequence at first
GROW_UNTIL = 0.3  # fraction of the training time after which sequences are CONTEXT long
START_AT_VERSE = False  # sequences begin where a verse does, as the held-out streams do

# Loss
LABEL_SMOOTHING = 0.0
Z_LOSS = 0.0  # weight of the squared log-normalizer
EARLY_BYTE_WEIGHT = 1.0  # weight of the first byte of a sequence, rising to 1 over 32 bytes

# Regularization
WEIGHT_DECAY = 0.01
DROPOUT = 0.0
GRADIENT_CLIP = 1.0
EMA_DECAY = 0.0  # of the running average of weights that is packed; 0 packs the last ones

# Packing
QUANT_BITS = 6
CLIP_SIGMAS = 4.0  # a row's weights are cut at this many standard deviations

# Evaluation
KEEP = 32  # bytes that are read again when the window of CONTEXT bytes is full
TEMPERATURE = 1.0

# Test-time training: counts of the bytes already scored, mixed with the model from short to long contexts
ORDERS = {3: 60.0, 4: 30.0, 5: 16.0, 7: 6.0}  # bytes of context: how many counts the shorter ones are worth

ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu, "silu": F.silu}


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x, cache):
        """cache is None, or the layer's keys and values of the bytes before x; it grows."""
        b, t, _ = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        if cache is not None:
            cache[:] = [k, v] if not cache else [torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)]
            k, v = cache
        scores = q @ k.transpose(2, 3) / math.sqrt(WIDTH // HEADS)  # (B, heads, T, past + T)
        if t > 1:
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
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x, cache=None):
        x = x + self.dropout(self.attention(self.norm1(x), cache))
        return x + self.dropout(self.down(ACTIVATIONS[ACTIVATION](self.up(self.norm2(x)))))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.bytes = nn.Embedding(256, WIDTH)  # also the output layer
        self.positions = nn.Embedding(CONTEXT, WIDTH)
        if BIGRAM_BUCKETS:
            self.bigrams = nn.Embedding(BIGRAM_BUCKETS, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                deep = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(weight, std=INIT_STD / math.sqrt(2 * LAYERS) if deep else INIT_STD)
        if BIGRAM_BUCKETS:
            nn.init.normal_(self.bigrams.weight, std=BIGRAM_STD)

    def forward(self, x, before, caches=None, position=0):
        """Logits (B, T, 256) for the byte after each of x (B, T); before is the byte ahead of x (B,)."""
        t = x.shape[1]
        h = INPUT_SCALE * self.bytes(x) + self.positions(torch.arange(position, position + t))
        if BIGRAM_BUCKETS:
            previous = torch.cat([before[:, None], x[:, :-1]], 1)
            h = h + self.bigrams((previous * 257 + x) * 40503 % 65521 % BIGRAM_BUCKETS)
        for i, block in enumerate(self.blocks):
            h = block(h, None if caches is None else caches[i])
        return self.norm(h) @ self.bytes.weight.T


def loss_of(logits, targets):
    t = targets.shape[1]
    each = F.cross_entropy(
        logits.reshape(-1, 256), targets.reshape(-1), reduction="none", label_smoothing=LABEL_SMOOTHING
    ).view(-1, t)
    weight = EARLY_BYTE_WEIGHT + (1 - EARLY_BYTE_WEIGHT) * (torch.arange(t) / 32).clamp(max=1)
    loss = (each * weight).sum() / (weight.sum() * len(each))
    return loss + Z_LOSS * logits.logsumexp(2).square().mean() if Z_LOSS else loss


def learning_rate(done):
    """done is the fraction of the training time that has passed, 0..1."""
    if done < WARMUP_FRACTION:
        return LEARNING_RATE * (done / WARMUP_FRACTION + 0.01)
    left = 1 - (done - WARMUP_FRACTION) / (1 - WARMUP_FRACTION)
    shape = left if SCHEDULE == "linear" else (1 - math.cos(math.pi * left)) / 2
    return LEARNING_RATE * (FINAL_LR_FRACTION + (1 - FINAL_LR_FRACTION) * shape)


def sequence_length(done):
    if done >= GROW_UNTIL:
        return CONTEXT
    return min(CONTEXT, int(START_CONTEXT + (CONTEXT - START_CONTEXT) * done / GROW_UNTIL))


def train(text, clock, rng):
    """text is a tensor of byte values; clock says which fraction of the training time has passed."""
    model = Model()
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(BETA1, BETA2))
    average = [p.detach().clone() for p in model.parameters()]
    starts = (text == 10).nonzero()[:, 0] if START_AT_VERSE else torch.arange(len(text))
    starts = starts[(starts >= 1) & (starts < len(text) - CONTEXT - 1)]
    step = 0
    while True:
        done = clock(step)
        if done >= 1:
            break
        t = sequence_length(done)
        first = starts[torch.from_numpy(rng.integers(0, len(starts), BATCH_SIZE))]
        batch = text[first[:, None] + torch.arange(-1, t + 1)].long()
        loss = loss_of(model(batch[:, 1:-1], batch[:, 0]), batch[:, 2:])
        optimizer.zero_grad()
        loss.backward()
        if GRADIENT_CLIP:
            nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_CLIP)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(done)
        optimizer.step()
        keep = min(EMA_DECAY, step / (step + 10))
        for a, p in zip(average, model.parameters()):
            a.lerp_(p.detach(), 1 - keep)
        step += 1
        if step % 100 == 0:
            print(f"step {step} at {100 * done:.0f} % loss {loss.item():.4f}")
    print(f"{step} steps")
    with torch.no_grad():
        for a, p in zip(average, model.parameters()):
            p.copy_(a)
    return model


def pack(model):
    """Whole weights at QUANT_BITS with one float16 scale a row, then zlib over everything."""
    shapes, scales, whole, exact = {}, [], [], []
    largest = 2 ** (QUANT_BITS - 1) - 1
    for name, weight in model.state_dict().items():
        w = weight.detach().numpy().astype(np.float32)
        shapes[name] = w.shape
        if w.ndim < 2:
            exact.append(w.astype("<f2").tobytes())
            continue
        limit = np.minimum(np.abs(w).max(1), CLIP_SIGMAS * w.std(1))
        scale = np.maximum(limit / largest, 1e-6).astype("<f2")
        scales.append(scale.tobytes())
        whole.append(np.clip(np.rint(w / scale[:, None].astype(np.float32)), -largest, largest).astype("i1").tobytes())
    head = json.dumps(shapes).encode()
    return zlib.compress(struct.pack("<I", len(head)) + head + b"".join(scales + exact + whole), 9)


def unpack(packed):
    raw = zlib.decompress(packed)
    (size,) = struct.unpack_from("<I", raw)
    shapes, at = json.loads(raw[4 : 4 + size]), 4 + size

    def take(count, dtype):
        nonlocal at
        values = np.frombuffer(raw, dtype, count, at)
        at += values.nbytes
        return values.astype(np.float32)

    scales = {name: take(shape[0], "<f2") for name, shape in shapes.items() if len(shape) == 2}
    state = {name: take(shape[0], "<f2") for name, shape in shapes.items() if len(shape) == 1}
    for name, shape in shapes.items():
        if len(shape) == 2:
            state[name] = take(shape[0] * shape[1], "i1").reshape(shape) * scales[name][:, None]
    model = Model()
    model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return model.eval()


class Counts:
    """How often each byte followed the last ORDER bytes, over all streams."""

    def __init__(self, order, worth):
        self.order, self.worth = order, worth
        self.rows, self.table = {}, np.zeros((65536, 256), np.uint8)  # a row for each context met
        self.now = None

    def learn(self, told):
        if self.now is not None:
            np.add.at(self.table, (self.now, told), 1)

    def mix(self, read, shorter):
        """read (B, T) ends with the newest byte; shorter (B, 256) is the prediction to improve."""
        if read.shape[1] < self.order:
            return shorter
        contexts = np.ascontiguousarray(read[:, -self.order :].astype(np.uint8))
        self.now = [self.rows.setdefault(c.tobytes(), len(self.rows)) for c in contexts]
        seen = self.table[self.now].astype(np.float32)
        return (seen + self.worth * shorter) / (seen.sum(1, keepdims=True) + self.worth)


class Reader:
    """Reads all streams in lockstep. Each step is told one byte a stream and predicts the next."""

    def __init__(self, model):
        self.model, self.read = model, None
        self.counts = [Counts(order, worth) for order, worth in ORDERS.items()]

    def step(self, told):
        for counts in self.counts:
            counts.learn(told)
        told = torch.from_numpy(told.astype(np.int64))[:, None]
        if self.read is None:
            self.read, self.position = torch.full_like(told, 10), 0
            self.caches = [[] for _ in range(LAYERS)]
        self.read = torch.cat([self.read, told], 1)
        new = told
        if self.position == CONTEXT:
            new = self.read[:, -min(KEEP + 1, CONTEXT) :]
            self.position, self.caches = 0, [[] for _ in range(LAYERS)]
        before = self.read[:, -new.shape[1] - 1]
        logits = self.model(new, before, self.caches, self.position)[:, -1] / TEMPERATURE
        self.position += new.shape[1]
        guess = logits.softmax(1).numpy()
        for counts in self.counts:
            guess = counts.mix(self.read[:, -8:].numpy(), guess)
        return np.log(guess + 1e-9)


def serve():
    import mendel_subject

    with open(os.path.join(os.environ["MENDEL_ARTIFACT"], "model.bin"), "rb") as file:
        reader = Reader(unpack(file.read()))
    with torch.no_grad():
        mendel_subject.serve(step=reader.step)


def main():
    torch.set_num_threads(1)
    seed = int(os.environ.get("MENDEL_SEED", "0"))
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    if "--serve" in sys.argv:
        return serve()
    if "--param-count" in sys.argv:
        model = Model()
        print(f"{sum(p.numel() for p in model.parameters())} weights, {len(pack(model))} bytes packed untrained")
        return
    if "--smoke" in sys.argv:
        made_up = torch.from_numpy(rng.choice([10, 32, 97, 101, 116], 8 * CONTEXT).astype(np.uint8))
        model = train(made_up, lambda step: step / 3, rng)
    else:
        with gzip.open(os.path.join(os.environ["MENDEL_DATA"], "train", "kjv.txt.gz")) as file:
            text = torch.from_numpy(np.frombuffer(file.read(), np.uint8).copy())
        begin = time.monotonic()
        model = train(text, lambda step: (time.monotonic() - begin) / (STARTED + TRAIN_SECONDS - begin), rng)
    packed = pack(model)
    unpack(packed)
    with open(os.path.join(os.environ["MENDEL_OUT"], "model.bin"), "wb") as file:
        file.write(packed)
    print(f"{len(packed)} bytes packed")


if __name__ == "__main__":
    main()
