"""Trains the model that injection and toxicity share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from training import data, tokens
from training.fit import Item, Recipe, masked_loss, train
from training.network import Network
from training.safety_rows import TARGETS, training_rows
from training.shape import LAYERS

NAME = "safety"
# Slowly: what the base encoder knows serves texts unlike the training rows.
RECIPE = Recipe(rate=4e-5)
FROZEN_SHARE = 1 / 3  # of the layers, the lowest ones
# The two verdicts count fully; the finer labels, known for few rows, steer the encoder.
WEIGHTS = (1.0, 1.0, 0.3, 0.2, 0.1, 0.1, 0.2, 0.2, 0.2)


def network(base: Path, layers: int, seed: int) -> Network:
    """An untrained head on the lower ``layers`` of the base encoder."""
    torch.manual_seed(seed)
    return Network(base, len(TARGETS), frozen=round(layers * FROZEN_SHARE), layers=layers)


def items(folder: Path, base: Path, every: bool = False) -> list[Item]:
    """The rows that it is trained on, or every one, in random order."""
    rows = training_rows(folder, every)
    found = tokens.safety_items(tokens.load(base / "tokenizer.json"), rows, data.SEED)
    print(f"{NAME}: {len(found)} rows, {sum(len(i.ids) for i in found)} tokens", flush=True)
    return found


def run(
    made: Sequence[Item], base: Path, cache: Path, keep: bool = False, layers: int = LAYERS
) -> Network:
    """The trained network; goes on from the last checkpoint."""
    weights = torch.tensor(WEIGHTS)

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return masked_loss(logits, targets, weights)

    make = partial(network, base, layers)
    return train(make, made, loss, cache / NAME, RECIPE, data.SEED, keep)
