"""Trains the model that reads a claim and its evidence together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from processors.evaluate.support_features import FEATURE_NAMES
from training import data, tokens
from training.fit import Item, Recipe, masked_loss, steps, train
from training.network import Network
from training.support_rows import training_rows

NAME = "support"
RECIPE = Recipe()


def network(base: Path) -> Network:
    """An untrained head on the base encoder."""
    torch.manual_seed(data.SEED + 1)
    return Network(base, 1, features=len(FEATURE_NAMES))


def items(folder: Path, base: Path) -> list[Item]:
    """Every row that it is trained on, in random order."""
    found = tokens.pair_items(tokens.load(base / "tokenizer.json"), training_rows(folder))
    print(f"{NAME}: {len(found)} rows, {sum(len(i.ids) for i in found)} tokens", flush=True)
    return found


def run(made: Sequence[Item], base: Path, cache: Path, keep: bool = False) -> Network:
    """The trained network; goes on from the last checkpoint."""
    net = network(base)
    weights = torch.ones(1)

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return masked_loss(logits, targets, weights)

    train(net, made, loss, cache / NAME, RECIPE, data.SEED, keep)
    return net.eval()


def describe(cache: Path) -> str:
    """How long the run in ``cache`` was."""
    return f"{NAME}: {steps(cache / NAME)} batches of at most {RECIPE.batch_tokens} tokens"
