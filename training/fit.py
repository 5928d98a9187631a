"""One training run: batches under a token budget, one epoch, checkpoints, a small log.

The number of steps and the order of the rows are fixed by the seed before the first step, so a run
that was cut off goes on from its last checkpoint to the same end.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.network import Network

CHECKPOINT_SECONDS = 180
_POOL_BATCHES = 40  # rows are sorted by length within about this many batches


@dataclass(frozen=True, slots=True)
class Item:
    """One training row: token ids, segments, what the head also reads, and the targets."""

    ids: Sequence[int]
    types: Sequence[int]
    targets: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is trained."""

    rate: float = 1e-4
    warmup: float = 0.05
    decay: float = 0.01
    batch_tokens: int = 1024
    clip: float = 1.0


Loss = Callable[[Tensor, Tensor], Tensor]


def plan(lengths: Sequence[int], budget: int, rng: random.Random) -> list[list[int]]:
    """Indices by batch, each under the budget of padded tokens, in random order."""
    order = list(range(len(lengths)))
    rng.shuffle(order)
    mean = sum(lengths) / len(lengths)
    size = max(1, int(_POOL_BATCHES * budget / mean))
    batches: list[list[int]] = []
    for start in range(0, len(order), size):
        batch: list[int] = []
        for index in sorted(order[start : start + size], key=lengths.__getitem__):
            if batch and (len(batch) + 1) * lengths[index] > budget:
                batches.append(batch)
                batch = []
            batch.append(index)
        batches.append(batch)
    rng.shuffle(batches)
    return batches


def tensors(items: Sequence[Item]) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor]:
    """ids, mask, types, features and targets of a batch."""
    shape = (len(items), max(len(item.ids) for item in items))
    ids, mask, types = (np.zeros(shape, np.int64) for _ in range(3))
    for row, item in enumerate(items):
        size = len(item.ids)
        ids[row, :size], types[row, :size], mask[row, :size] = item.ids, item.types, 1
    features = None
    if items[0].features is not None:
        features = torch.from_numpy(np.stack([item.features for item in items]))  # type: ignore[misc]
    targets = torch.from_numpy(np.stack([item.targets for item in items]))
    a, b, c = (torch.from_numpy(x) for x in (ids, mask, types))
    return a, b, c, features, targets


def masked_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Binary cross-entropy of the known targets, by column weight."""
    known = ~torch.isnan(targets)
    raw = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, torch.nan_to_num(targets) * 0.98 + 0.01, reduction="none"
    )
    total = (raw * known * weights).sum(0) / known.sum(0).clamp(min=8)
    return total.sum()


def train(
    network: Network, items: Sequence[Item], loss: Loss, folder: Path, recipe: Recipe, seed: int
) -> None:
    """Train in place; state in ``folder``. Does nothing when a finished run is there."""
    folder.mkdir(parents=True, exist_ok=True)
    batches = plan([len(item.ids) for item in items], recipe.batch_tokens, random.Random(seed))
    steps = len(batches)
    optimiser = torch.optim.AdamW(
        network.groups(recipe.rate), weight_decay=recipe.decay, fused=True
    )
    rise = recipe.warmup * steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda s: min((s + 1) / rise, max(0.0, (steps - s) / (steps - rise)))
    )
    state = folder / "state.pt"
    step = _resume(state, network, optimiser, schedule)
    network.train()
    torch.manual_seed(seed + step)
    started = saved = time.monotonic()
    first, mean = step, 0.0
    while step < steps:
        ids, mask, types, features, targets = tensors([items[i] for i in batches[step]])
        value = loss(network(ids, mask, types, features), targets)
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        step += 1
        mean = value.item() if step == first + 1 else 0.98 * mean + 0.02 * value.item()
        now = time.monotonic()
        if step % 25 == 0 or step == steps:
            _log(folder, step, steps, mean, (now - started) / (step - first))
        if now - saved > CHECKPOINT_SECONDS or step == steps:
            _save(state, network, optimiser, schedule, step)
            saved = now


def _log(folder: Path, step: int, steps: int, loss: float, seconds: float) -> None:
    left = (steps - step) * seconds / 60
    print(f"{folder.name}: step {step}/{steps} loss {loss:.4f}, {left:.0f} min left", flush=True)
    with (folder / "log.jsonl").open("a") as log:
        entry = {"step": step, "steps": steps, "loss": round(loss, 4), "at": int(time.time())}
        log.write(json.dumps(entry) + "\n")


def _save(path: Path, network: Network, optimiser: object, schedule: object, step: int) -> None:
    partial = path.with_suffix(".part")
    state = {"network": network.state_dict(), "step": step}
    state |= {"optimiser": optimiser.state_dict(), "schedule": schedule.state_dict()}  # type: ignore[attr-defined]
    torch.save(state, partial)
    partial.rename(path)  # a killed run leaves no half checkpoint


def _resume(path: Path, network: Network, optimiser: object, schedule: object) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])  # type: ignore[attr-defined]
    schedule.load_state_dict(state["schedule"])  # type: ignore[attr-defined]
    return int(state["step"])


def steps(folder: Path) -> int:
    """Steps that the run in ``folder`` has made."""
    lines = (folder / "log.jsonl").read_text().splitlines()
    return int(json.loads(lines[-1])["step"]) if lines else 0
