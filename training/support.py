"""Trains the model that reads a claim and its evidence together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from processors.evaluate.support_features import FEATURE_NAMES
from training import data, tokens
from training.fit import Item, Recipe, masked_loss, train
from training.network import Network
from training.support_rows import training_rows

NAME = "support"
RECIPE = Recipe(batch_tokens=4096, epochs=2, runs=3)


def network(base: Path, seed: int) -> Network:
    """An untrained head on the base encoder."""
    torch.manual_seed(seed)
    return Network(base, 1, features=len(FEATURE_NAMES))


def items(folder: Path, base: Path) -> list[Item]:
    """Every row that it is trained on, in random order."""
    found = tokens.pair_items(tokens.load(base / "tokenizer.json"), training_rows(folder))
    print(f"{NAME}: {len(found)} rows, {sum(len(i.ids) for i in found)} tokens", flush=True)
    return found


def run(made: Sequence[Item], base: Path, cache: Path, keep: bool = False) -> Network:
    """The trained network; goes on from the last checkpoint."""
    weights = torch.ones(1)

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return masked_loss(logits, targets, weights)

    make = partial(network, base)
    return train(make, made, loss, cache / NAME, RECIPE, data.SEED, keep)
