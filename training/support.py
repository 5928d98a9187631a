"""Trains the model that reads a claim and its evidence together."""

from __future__ import annotations

from pathlib import Path

import torch

from processors.evaluate.support_features import FEATURE_NAMES
from training import data, tokens
from training.fit import Recipe, masked_loss, steps, train
from training.network import Network
from training.support_rows import training_rows

NAME = "support"
RECIPE = Recipe()


def network(base: Path) -> Network:
    """An untrained head on the base encoder."""
    torch.manual_seed(data.SEED + 1)
    return Network(base, 1, features=len(FEATURE_NAMES))


def run(folder: Path, base: Path, cache: Path) -> Network:
    """The trained network; goes on from the last checkpoint."""
    net = network(base)
    items = tokens.pair_items(tokens.load(base / "tokenizer.json"), training_rows(folder))
    print(f"{NAME}: {len(items)} rows, {sum(len(i.ids) for i in items)} tokens", flush=True)
    weights = torch.ones(1)
    train(net, items, lambda x, y: masked_loss(x, y, weights), cache / NAME, RECIPE, data.SEED)
    return net.eval()


def describe(cache: Path) -> str:
    """How long the run in ``cache`` was."""
    return f"{NAME}: {steps(cache / NAME)} batches of at most {RECIPE.batch_tokens} tokens"
