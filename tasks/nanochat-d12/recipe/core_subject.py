"""Answers the evaluator's questions with the model that this tree has trained.

Part of the task, not of upstream, and not editable. It loads the checkpoint by the tree's own
loader, and expects of the model what upstream's has: model(ids) with ids (rows, tokens) gives
logits (rows, tokens, vocabulary).
"""

import os

import mendel_subject
import numpy as np
import torch
from nanochat.checkpoint_manager import load_model_from_dir

TOKENS = 16384  # of one forward pass, padding included: their logits take 2 GB


def passes(tokens, lengths):
    """Cuts rows into forward passes, each padded to its longest row. Padding stands on the right,
    where a causal model cannot see it. Yields the number of the first row, and (rows, tokens)."""
    rows = np.split(tokens, np.cumsum(lengths)[:-1])
    first = 0
    while first < len(rows):
        end, longest = first, 2  # upstream's model takes no single tokens
        while end < len(rows):
            longer = max(longest, len(rows[end]))
            if end > first and longer * (end + 1 - first) > TOKENS:
                break
            end, longest = end + 1, longer
        ids = np.zeros((end - first, longest), np.int64)
        for line, row in zip(ids, rows[first:end]):
            line[: len(row)] = row
        yield first, ids
        first = end


class Answers:
    def __init__(self, model, device):
        self.model, self.device = model, device

    @torch.no_grad()
    def forward(self, ids):
        ids = torch.from_numpy(ids).to(self.device)
        return ids, self.model(ids)

    def losses(self, tokens, lengths, spans):
        """The mean loss of each row's tokens from its span's start to before its end."""
        means = np.empty(len(lengths), np.float32)
        for first, ids in passes(tokens, lengths):
            ids, logits = self.forward(ids)
            for line in range(len(ids)):
                start, end = spans[first + line].tolist()
                loss = torch.nn.functional.cross_entropy(logits[line, start - 1 : end - 1], ids[line, start:end])
                means[first + line] = loss.item()
        return means

    def next_tokens(self, tokens, lengths):
        """The likeliest token after each row."""
        likeliest = np.empty(len(lengths), np.int32)
        for first, ids in passes(tokens, lengths):
            _, logits = self.forward(ids)
            last = torch.from_numpy(lengths[first : first + len(ids)].astype(np.int64) - 1).to(logits.device)
            best = logits[torch.arange(len(ids), device=logits.device), last].argmax(dim=-1)
            likeliest[first : first + len(ids)] = best.cpu().numpy()
        return likeliest


def main():
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    checkpoints = os.path.join(os.environ["MENDEL_ARTIFACT"], "base_checkpoints")
    model, _, _ = load_model_from_dir(checkpoints, device, phase="eval")
    answers = Answers(model, device)
    mendel_subject.serve(losses=answers.losses, next_tokens=answers.next_tokens)


if __name__ == "__main__":
    main()
