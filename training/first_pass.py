"""The cascade's first pass: a bag of word pieces and hashed pairs of them, thousands a second.

Each token adds its own row and that of the pair with its predecessor; mean and maximum over the
text go through a small head. It is trained on every row for the text tasks and may only clear: what
it lets through the model judges (``thresholds`` sets its limits).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from training.first_graph import FACTOR, OUTPUTS, PAIRS
from training.fit import Item, is_other, masked_loss, origin, plan, tensors
from training.shape import WORDS

SIZE, HEAD = 24, 32
FILE = "first_pass.pt"
_LOG_STEPS = 100
EPOCHS, BATCH_TOKENS, RATE, DROPOUT = 3, 16_384, 4e-3, 0.3


class Bag(nn.Module):
    """Token ids to one logit per output."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, SIZE)
        self.pairs = nn.Embedding(PAIRS, SIZE)
        for table in (self.words, self.pairs):
            nn.init.normal_(table.weight, std=0.05)
        self.first = nn.Linear(2 * SIZE, HEAD)
        self.last = nn.Linear(HEAD, len(OUTPUTS))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask [N, L] -> logits [N, outputs]."""
        before = nn.functional.pad(ids[:, :-1], (1, 0))
        x = self.words(ids) + self.pairs((before * FACTOR + ids) % PAIRS)
        valid = mask.unsqueeze(2).to(x.dtype)
        x = nn.functional.dropout(x, DROPOUT, self.training)
        mean = (x * valid).sum(1) / valid.sum(1)
        highest = (x - 1e4 * (1 - valid)).max(1).values
        return self.last(torch.relu(self.first(torch.cat([mean, highest], 1))))


def run(items: Sequence[Item], cache: Path, seed: int, keep: bool = False) -> Bag:
    """A bag trained on ``items``. Raises :class:`training.fit.OtherRunError`."""
    torch.manual_seed(seed)
    bag = Bag()
    path = cache / FILE
    made_from = origin(items, SIZE, HEAD, EPOCHS, BATCH_TOKENS, RATE, DROPOUT, seed)
    if path.exists():
        state = torch.load(path, torch.get_default_device(), weights_only=True)
        is_other(state["origin"], made_from, path, keep)
        bag.load_state_dict(state["bag"])
        return bag.eval()
    optimiser = torch.optim.Adam(bag.parameters(), lr=RATE)
    rng = random.Random(seed)
    weights = torch.ones(len(OUTPUTS))
    lengths = [len(item.ids) for item in items]
    batches = [b for _ in range(EPOCHS) for b in plan(lengths, BATCH_TOKENS, rng)]
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, len(batches))
    for step, batch in enumerate(batches, 1):
        ids, mask, _, _, targets = tensors([items[i] for i in batch])
        loss = masked_loss(bag(ids, mask), targets[:, : len(OUTPUTS)], weights)
        loss.backward()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        if step % _LOG_STEPS == 0:
            print(f"first pass: step {step}/{len(batches)} loss {loss.item():.4f}", flush=True)
    torch.save({"bag": bag.state_dict(), "origin": made_from}, path)
    return bag.eval()
