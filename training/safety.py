"""Trains the model that injection and toxicity share."""

from __future__ import annotations

from pathlib import Path

import torch

from training import data, tokens
from training.fit import Recipe, masked_loss, steps, train
from training.network import Network
from training.safety_rows import TARGETS, training_rows

NAME = "safety"
# Slowly: what the base encoder knows serves texts unlike the training rows.
RECIPE = Recipe(rate=4e-5)
FROZEN_LAYERS = 2
# The two verdicts count fully; the finer labels, known for few rows, steer the encoder.
WEIGHTS = (1.0, 1.0, 0.3, 0.2, 0.1, 0.1, 0.2, 0.2, 0.2)


def network(base: Path) -> Network:
    """An untrained head on the base encoder."""
    torch.manual_seed(data.SEED)
    return Network(base, len(TARGETS), frozen=FROZEN_LAYERS)


def run(folder: Path, base: Path, cache: Path) -> Network:
    """The trained network; goes on from the last checkpoint."""
    net = network(base)
    rows = training_rows(folder)
    items = tokens.safety_items(tokens.load(base / "tokenizer.json"), rows, data.SEED)
    print(f"{NAME}: {len(items)} rows, {sum(len(i.ids) for i in items)} tokens", flush=True)
    weights = torch.tensor(WEIGHTS)
    train(net, items, lambda x, y: masked_loss(x, y, weights), cache / NAME, RECIPE, data.SEED)
    return net.eval()


def describe(cache: Path) -> str:
    """How long the run in ``cache`` was."""
    return f"{NAME}: {steps(cache / NAME)} batches of at most {RECIPE.batch_tokens} tokens"
