"""The cascade's first pass: a bag of word pieces and hashed pairs of them, thousands a second.

Each token adds its own row and that of the pair with its predecessor; mean and maximum over the
text go through a small head. It is trained on the rows of the safety model and may only clear: what
it lets through the model judges. Its limits are set so that at most MISSED of the dev rows that
the model flags would be cleared.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from training.fit import Item, masked_loss, plan, tensors
from training.onnx_builder import Graph

WORDS, PAIRS, SIZE, HEAD = 30_522, 1 << 16, 24, 32
EPOCHS, BATCH_TOKENS, RATE = 4, 16_384, 4e-3
MISSED = 0.005
_FACTOR = 92_821
OUTPUTS = ("injection", "toxicity")


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
        x = self.words(ids) + self.pairs((before * _FACTOR + ids) % PAIRS)
        valid = mask.unsqueeze(2).to(x.dtype)
        x = nn.functional.dropout(x, 0.2, self.training)
        mean = (x * valid).sum(1) / valid.sum(1)
        highest = (x - 1e4 * (1 - valid)).max(1).values
        return self.last(torch.relu(self.first(torch.cat([mean, highest], 1))))


def run(make: Callable[[], Sequence[Item]], cache: Path, seed: int) -> Bag:
    """A bag trained on the safety rows that ``make`` gives."""
    torch.manual_seed(seed)
    bag = Bag()
    path = cache / "first_pass.pt"
    if path.exists():
        bag.load_state_dict(torch.load(path, weights_only=True))
        return bag.eval()
    items = make()
    optimiser = torch.optim.Adam(bag.parameters(), lr=RATE)
    rng = random.Random(seed)
    weights = torch.ones(len(OUTPUTS))
    lengths = [len(item.ids) for item in items]
    for epoch in range(EPOCHS):
        bag.train()
        total = 0.0
        batches = plan(lengths, BATCH_TOKENS, rng)
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 - epoch / EPOCHS)
        for batch in batches:
            ids, mask, _, _, targets = tensors([items[i] for i in batch])
            loss = masked_loss(bag(ids, mask), targets[:, : len(OUTPUTS)], weights)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            total += loss.item()
        print(f"first pass: epoch {epoch + 1}/{EPOCHS} loss {total / len(batches):.4f}", flush=True)
    torch.save(bag.state_dict(), path)
    return bag.eval()


def build(bag: Bag) -> onnx.ModelProto:
    """The graph: ids and mask to a score [N] per output."""
    w = {k: v.detach().numpy() for k, v in bag.state_dict().items()}
    g = Graph()
    one, zero = g.const([1], np.int64), g.const([0], np.int64)
    ids = "input_ids"
    start = g.add("Slice", ids, zero, one, one)
    # The first token has no predecessor: 0.
    nothing = g.add("Mul", start, g.const([[0]], np.int64))
    shifted = g.add(
        "Slice", g.add("Concat", nothing, ids, axis=1), zero, g.const([-1], np.int64), one
    )
    mixed = g.add("Add", g.add("Mul", shifted, g.const(_FACTOR, np.int64)), ids)
    pair = g.add("Mod", mixed, g.const(PAIRS, np.int64))
    words = g.add("Gather", g.const(w["words.weight"], name="bag_words.table"), ids)
    pairs = g.add("Gather", g.const(w["pairs.weight"], name="bag_pairs.table"), pair)
    x = g.add("Add", words, pairs)
    valid = g.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    valid3 = g.add("Unsqueeze", valid, g.const([2], np.int64))
    hidden3 = g.add("Mul", g.add("Sub", g.const(1.0), valid3), g.const(-1e4))
    total = g.add("Max", g.add("ReduceSum", valid3, one, keepdims=0), g.const(1.0))
    mean = g.add("Div", g.add("ReduceSum", g.add("Mul", x, valid3), one, keepdims=0), total)
    highest = g.add("ReduceMax", g.add("Add", x, hidden3), axes=[1], keepdims=0)
    pooled = g.add("Concat", mean, highest, axis=-1)
    inner = g.add("Relu", g.linear(pooled, w["first.weight"].T, w["first.bias"]))
    scores = g.add("Sigmoid", g.linear(inner, w["last.weight"].T, w["last.bias"]))
    info = helper.make_tensor_value_info
    for column, name in enumerate(OUTPUTS):
        g.add("Gather", scores, g.const(column, np.int64), axis=1, out=name)
    return g.model(
        [info(n, TensorProto.INT64, ["batch", "length"]) for n in (ids, "attention_mask")],
        [info(n, TensorProto.FLOAT, ["batch"]) for n in OUTPUTS],
    )


BY_ROW = ("bag_words", "bag_pairs")


def clear_below(cheap: np.ndarray, flagged: np.ndarray) -> float:
    """Highest limit under which at most MISSED of the flagged rows would be cleared."""
    scores = np.sort(cheap[flagged])
    missed = int(MISSED * len(scores))
    return float(np.floor(scores[missed] * 1e4) / 1e4)
