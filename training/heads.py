"""Small heads over frozen encoder outputs: one hidden layer, trained with torch, kept as numpy.

A head maps features [N, F] to one logit [N]; higher is worse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from training.encoder import F32


@dataclass(frozen=True)
class Recipe:
    """How a head is trained; the values in use were chosen on dev (see __main__.RECIPES)."""

    hidden: int = 64
    dropout: float = 0.3
    decay: float = 0.02
    rate: float = 1e-3
    epochs: int = 12
    batch: int = 512


@dataclass(frozen=True)
class Head:
    """logit = relu(x @ w1 + b1) @ w2 + b2 with the input scaling folded into w1 and b1."""

    w1: F32  # [F, hidden]
    b1: F32  # [hidden]
    w2: F32  # [hidden, 1]
    b2: F32  # [1]

    def logits(self, x: F32) -> F32:
        """[N, F] -> [N]."""
        return (np.maximum(x @ self.w1 + self.b1, 0.0) @ self.w2 + self.b2)[:, 0]

    def scaled(self, slope: float, offset: float) -> Head:
        """The head whose logits are slope * logit + offset (Platt calibration folded in)."""
        return Head(
            self.w1,
            self.b1,
            (self.w2 * slope).astype(np.float32),
            (self.b2 * slope + offset).astype(np.float32),
        )


def train_head(
    x: F32, y: npt.NDArray[np.float32], weight: npt.NDArray[np.float32], recipe: Recipe, seed: int
) -> Head:
    """Fit a head to x [N, F], y [N] in {0, 1} with row weights [N]."""
    torch.manual_seed(seed)
    mean, std = x.mean(axis=0), x.std(axis=0) + 1e-4
    data = torch.from_numpy((x - mean) / std)
    target, weights = torch.from_numpy(y), torch.from_numpy(weight)
    model = nn.Sequential(
        nn.Dropout(recipe.dropout / 2),
        nn.Linear(x.shape[1], recipe.hidden),
        nn.ReLU(),
        nn.Dropout(recipe.dropout),
        nn.Linear(recipe.hidden, 1),
    )
    steps = -(-len(x) // recipe.batch) * recipe.epochs
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate * 2, total_steps=steps)
    loss_of = nn.BCEWithLogitsLoss(reduction="none")
    model.train()
    for _ in range(recipe.epochs):
        for rows in torch.randperm(len(x)).split(recipe.batch):
            optimiser.zero_grad()
            # Smoothing keeps logits moderate, so calibrated scores do not all pile up at 0 and 1.
            smooth = target[rows] * 0.98 + 0.01
            loss = (loss_of(model(data[rows])[:, 0], smooth) * weights[rows]).mean()
            loss.backward()
            optimiser.step()
            schedule.step()
    first, last = model[1], model[4]
    w1 = first.weight.detach().numpy().T
    return Head(
        np.ascontiguousarray(w1 / std[:, None], dtype=np.float32),
        (first.bias.detach().numpy() - (mean / std) @ w1).astype(np.float32),
        np.ascontiguousarray(last.weight.detach().numpy().T, dtype=np.float32),
        last.bias.detach().numpy().astype(np.float32),
    )


def pair_features(claim: F32, evidence: F32, features: F32) -> F32:
    """What the support head reads, [N, 2 * 384 + 1 + F]: product, distance, cosine, lexical."""
    product = claim * evidence
    return np.concatenate(
        [product, np.abs(claim - evidence), product.sum(axis=1, keepdims=True), features], axis=1
    )
