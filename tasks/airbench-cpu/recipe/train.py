"""Trains a small convolutional network on 8x8 digits with NumPy alone, then answers for it.

    train.py                train on $MENDEL_DATA/train, leave $MENDEL_OUT/model.npz
    train.py --serve        load $MENDEL_ARTIFACT/model.npz and answer the evaluator's questions
    train.py --smoke        a few steps on made-up images, no data needed
    train.py --param-count  print the number of weights

Read from main() upwards. Images are float arrays (batch, 8, 8, channels), pixels 0..1.
"""

import os
import sys

import numpy as np

# Architecture
CHANNELS_1 = 12  # filters of the first 3x3 convolution
CHANNELS_2 = 24  # filters of the second
HIDDEN = 128  # units between the pooled features and the ten logits
PRECISION = "float64"

# Optimization
EPOCHS = 14
BATCH_SIZE = 32
LEARNING_RATE = 0.05
FINAL_LR_FRACTION = 0.02  # where the linear decay ends
WARMUP_FRACTION = 0.1  # of all steps
MOMENTUM = 0.9
NESTEROV = False

# Augmentation
MAX_SHIFT = 1  # pixels, each axis
SHIFT_PROBABILITY = 0.9
PIXEL_NOISE = 0.05  # standard deviation
VIEWS_AT_TEST = 5  # shifted copies whose logits are averaged

# Loss
LABEL_SMOOTHING = 0.1
LOGIT_SCALE = 1.0  # multiplies the logits before the softmax
HARD_EXAMPLE_POWER = 0.0  # weight of an example is (1 - p of its label) to this power

# Regularization
WEIGHT_DECAY = 0.0005
DROPOUT = 0.1  # of the hidden units
AVERAGE_DECAY = 0.98  # of the running average of weights that is saved; 0 saves the last ones
GRADIENT_CLIP = 5.0  # largest norm of the whole gradient; 0 switches it off

VIEWS = [(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)]


def windows(x):
    """Every 3x3 window of a zero-padded image: (batch, 8, 8, 9 * channels)."""
    n, h, w, c = x.shape
    padded = np.zeros((n, h + 2, w + 2, c), x.dtype)
    padded[:, 1:-1, 1:-1] = x
    return np.concatenate([padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3)], axis=3)


def windows_backward(grad, channels):
    """Adds the gradient of each window back to the pixels that it came from."""
    n, h, w, _ = grad.shape
    padded = np.zeros((n, h + 2, w + 2, channels), grad.dtype)
    for k in range(9):
        i, j = divmod(k, 3)
        padded[:, i : i + h, j : j + w] += grad[..., k * channels : (k + 1) * channels]
    return padded[:, 1:-1, 1:-1]


def max_pool(x):
    """Largest of each 2x2 block, and a mask of where it was (ties share the gradient)."""
    n, h, w, c = x.shape
    blocks = x.reshape(n, h // 2, 2, w // 2, 2, c)
    top = blocks.max(axis=(2, 4), keepdims=True)
    mask = blocks == top
    share = 1 / mask.sum(axis=(2, 4), keepdims=True, dtype=x.dtype)
    return top.reshape(n, h // 2, w // 2, c), mask * share


def max_pool_backward(grad, mask):
    n, h, w, c = grad.shape
    return (mask * grad.reshape(n, h, 1, w, 1, c)).reshape(n, 2 * h, 2 * w, c)


def new_weights(rng):
    def he(fan_in, fan_out):
        return (rng.standard_normal((fan_in, fan_out)) * np.sqrt(2 / fan_in)).astype(PRECISION)

    flat = 4 * 4 * CHANNELS_2
    return {
        "conv1": he(9, CHANNELS_1), "bias1": np.zeros(CHANNELS_1, PRECISION),
        "conv2": he(9 * CHANNELS_1, CHANNELS_2), "bias2": np.zeros(CHANNELS_2, PRECISION),
        "full3": he(flat, HIDDEN), "bias3": np.zeros(HIDDEN, PRECISION),
        "full4": he(HIDDEN, 10), "bias4": np.zeros(10, PRECISION),
    }  # fmt: skip


def forward(w, x, rng=None):
    """Logits, and what backward() needs. With rng, hidden units are dropped at random."""
    win1 = windows(x)
    act1 = np.maximum(win1 @ w["conv1"] + w["bias1"], 0)
    win2 = windows(act1)
    act2 = np.maximum(win2 @ w["conv2"] + w["bias2"], 0)
    pooled, mask = max_pool(act2)
    flat = pooled.reshape(len(x), -1)
    hidden = np.maximum(flat @ w["full3"] + w["bias3"], 0)
    if rng is not None and DROPOUT > 0:
        hidden = hidden * ((rng.random(hidden.shape) >= DROPOUT) / (1 - DROPOUT)).astype(hidden.dtype)
    return hidden @ w["full4"] + w["bias4"], (win1, act1, win2, act2, mask, flat, hidden)


def backward(w, cache, grad):
    """Gradient of every weight, from the gradient of the logits."""
    win1, act1, win2, act2, mask, flat, hidden = cache
    g = {"full4": hidden.T @ grad, "bias4": grad.sum(0)}
    grad = grad @ w["full4"].T * (hidden > 0)
    if DROPOUT > 0:
        grad = grad / (1 - DROPOUT)
    g["full3"], g["bias3"] = flat.T @ grad, grad.sum(0)
    grad = (grad @ w["full3"].T).reshape(len(flat), 4, 4, CHANNELS_2)
    grad = max_pool_backward(grad, mask) * (act2 > 0)
    g["conv2"] = win2.reshape(-1, win2.shape[3]).T @ grad.reshape(-1, CHANNELS_2)
    g["bias2"] = grad.sum((0, 1, 2))
    grad = windows_backward(grad @ w["conv2"].T, CHANNELS_1) * (act1 > 0)
    g["conv1"] = win1.reshape(-1, win1.shape[3]).T @ grad.reshape(-1, CHANNELS_1)
    g["bias1"] = grad.sum((0, 1, 2))
    return g


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def loss_gradient(logits, labels):
    """Gradient of the smoothed cross-entropy with respect to the logits, and the loss."""
    p = softmax(LOGIT_SCALE * logits)
    target = np.full_like(p, LABEL_SMOOTHING / 10)
    target[np.arange(len(labels)), labels] += 1 - LABEL_SMOOTHING
    weight = (1 - p[np.arange(len(labels)), labels, None]) ** HARD_EXAMPLE_POWER / len(labels)
    loss = -(target * np.log(p + 1e-9) * weight).sum()
    return (LOGIT_SCALE * (p - target) * weight).astype(logits.dtype), loss


def shift(image, down, right):
    """The image moved by whole pixels; what comes in at the edge is empty."""
    moved = np.zeros_like(image)
    h, w = image.shape[:2]
    moved[max(down, 0) : h + min(down, 0), max(right, 0) : w + min(right, 0)] = image[
        max(-down, 0) : h + min(-down, 0), max(-right, 0) : w + min(-right, 0)
    ]
    return moved


def augment(images, rng):
    batch = []
    for image in images:
        if rng.random() < SHIFT_PROBABILITY:
            down, right = rng.integers(-MAX_SHIFT, MAX_SHIFT + 1, 2)
            image = shift(image, down, right)
        batch.append(image)
    batch = np.stack(batch)
    return (batch + PIXEL_NOISE * rng.standard_normal(batch.shape)).astype(PRECISION)


def learning_rate(step, steps):
    warmup = max(1, int(WARMUP_FRACTION * steps))
    if step < warmup:
        return LEARNING_RATE * (step + 1) / warmup
    left = (steps - step) / (steps - warmup)
    return LEARNING_RATE * (FINAL_LR_FRACTION + (1 - FINAL_LR_FRACTION) * left)


def train(images, labels, epochs, rng):
    w = new_weights(rng)
    velocity = {name: np.zeros_like(value) for name, value in w.items()}
    average = {name: value.copy() for name, value in w.items()}
    per_epoch = -(-len(images) // BATCH_SIZE)
    steps, step = epochs * per_epoch, 0
    for epoch in range(epochs):
        order, total = rng.permutation(len(images)), 0.0
        for start in range(0, len(images), BATCH_SIZE):
            chosen = order[start : start + BATCH_SIZE]
            logits, cache = forward(w, augment(images[chosen], rng), rng)
            grad, loss = loss_gradient(logits, labels[chosen])
            grads = backward(w, cache, grad)
            total += loss * len(chosen)

            norm = np.sqrt(sum((g * g).sum() for g in grads.values()))
            scale = GRADIENT_CLIP / norm if 0 < GRADIENT_CLIP < norm else 1.0
            rate = learning_rate(step, steps)
            for name in w:
                g = scale * grads[name]
                if w[name].ndim > 1:
                    g = g + WEIGHT_DECAY * w[name]
                velocity[name] = MOMENTUM * velocity[name] + g
                w[name] = w[name] - rate * (g + MOMENTUM * velocity[name] if NESTEROV else velocity[name])
                # Early on the average would be mostly the random start, so it begins fast.
                keep = min(AVERAGE_DECAY, step / (step + 10))
                average[name] = keep * average[name] + (1 - keep) * w[name]
            step += 1
        print(f"epoch {epoch + 1}/{epochs} loss {total / len(images):.4f}")
    return average


def save(w):
    path = os.path.join(os.environ["MENDEL_OUT"], "model.npz")
    np.savez(path, **{name: value.astype(np.float32) for name, value in w.items()})


def serve():
    import mendel_subject

    w = dict(np.load(os.path.join(os.environ["MENDEL_ARTIFACT"], "model.npz")))
    w = {name: value.astype(PRECISION) for name, value in w.items()}

    def logits(images):
        """One call with all images, 0..1, (batch, 8, 8); answers (batch, 10)."""
        x = images[..., None].astype(PRECISION)
        total = np.zeros((len(x), 10))
        for down, right in VIEWS[:VIEWS_AT_TEST]:
            moved = np.stack([shift(image, down, right) for image in x])
            total += softmax(LOGIT_SCALE * forward(w, moved)[0])
        return np.log(total / VIEWS_AT_TEST + 1e-9).astype(np.float32)

    mendel_subject.serve(logits=logits)


def main():
    rng = np.random.default_rng(int(os.environ.get("MENDEL_SEED", "0")))
    if "--serve" in sys.argv:
        serve()
    elif "--param-count" in sys.argv:
        print(f"{sum(value.size for value in new_weights(rng).values())} weights")
    elif "--smoke" in sys.argv:
        made_up = rng.random((2 * BATCH_SIZE, 8, 8, 1)).astype(PRECISION)
        save(train(made_up, rng.integers(0, 10, len(made_up)), 1, rng))
    else:
        with np.load(os.path.join(os.environ["MENDEL_DATA"], "train", "digits.npz")) as data:
            images = (data["images"] / 16)[..., None].astype(PRECISION)
            labels = data["labels"].astype(np.int64)
        save(train(images, labels, EPOCHS, rng))


if __name__ == "__main__":
    main()
