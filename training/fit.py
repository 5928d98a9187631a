"""Training runs: batches under a token budget, checkpoints, a small log.

The number of steps and the order of the rows are fixed by the seed before the first step, so a run
that was cut off goes on from its last checkpoint to the same end. A checkpoint knows the rows and
the recipe it was made from: one of others is refused, or kept and said so.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.network import Network

CHECKPOINT_SECONDS = 180
_LOG_STEPS = 25
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
    head_rate: float = 1e-3
    probe: float = 0.1
    """Share of the steps in which the head alone learns (Kumar et al. 2022, "Fine-tuning can
    distort pretrained features and underperform out-of-distribution")."""
    warmup: float = 0.05
    decay: float = 0.01
    batch_tokens: int = 1024
    clip: float = 1.0
    epochs: int = 1
    runs: int = 1
    """Runs, each with its own seed, whose weights are averaged (Wortsman et al. 2022, "Model
    soups: averaging weights of multiple fine-tuned models improves accuracy")."""


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
        features = _tensor(np.stack([item.features for item in items]))  # type: ignore[misc]
    targets = _tensor(np.stack([item.targets for item in items]))
    a, b, c = (_tensor(x) for x in (ids, mask, types))
    return a, b, c, features, targets


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(array).to(torch.get_default_device())


def masked_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Binary cross-entropy of the known targets, by column weight."""
    known = ~torch.isnan(targets)
    raw = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, torch.nan_to_num(targets) * 0.98 + 0.01, reduction="none"
    )
    total = (raw * known * weights).sum(0) / known.sum(0).clamp(min=8)
    return total.sum()


class OtherRunError(Exception):
    """A checkpoint was made from other rows, or by another recipe."""


def origin(items: Sequence[Item], *recipe: object) -> str:
    """Hex digest of what a run is made from."""
    digest = hashlib.sha256(repr(recipe).encode())
    for item in items:
        digest.update(np.asarray(item.ids, np.int32).tobytes())
        digest.update(np.asarray(item.targets, np.float32).tobytes())
        if item.features is not None:
            digest.update(item.features.tobytes())
    return digest.hexdigest()


def is_other(found: object, wanted: str, path: Path, keep: bool) -> bool:
    """Whether a checkpoint is of another run, and kept. Raises :class:`OtherRunError` for one that
    is not to be kept."""
    if found == wanted:
        return False
    if not keep:
        raise OtherRunError(
            f"{path} was made from other rows or by another recipe: delete it to train anew, or "
            "use it as it is with --keep"
        )
    print(f"note: {path} was made from other rows or by another recipe, and is kept", flush=True)
    return True


def train(
    make: Callable[[int], Network], items: Sequence[Item], loss: Loss, folder: Path, recipe: Recipe,
    seed: int, keep: bool = False,
) -> Network:  # fmt: skip
    """The mean of the recipe's runs; ``make`` gives the untrained network of a seed. State in
    ``folder``: a finished run is only read.

    Raises :class:`OtherRunError` where the state is that of another run and not to be kept.
    """
    made = []
    for run in range(recipe.runs):
        network = make(seed + run)
        _train(network, items, loss, run_folder(folder, run), recipe, seed + run, keep)
        made.append(network)
    states = [network.state_dict() for network in made]
    mean = {name: torch.stack([s[name] for s in states]).mean(0) for name in states[0]}
    made[0].load_state_dict(mean)
    return made[0].eval()


def run_folder(folder: Path, run: int) -> Path:
    """Where one run of several has its state and its log."""
    return folder / f"run-{run}"


def _train(
    network: Network, items: Sequence[Item], loss: Loss, folder: Path, recipe: Recipe, seed: int,
    keep: bool,
) -> None:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    lengths, rng = [len(item.ids) for item in items], random.Random(seed)
    batches = [b for _ in range(recipe.epochs) for b in plan(lengths, recipe.batch_tokens, rng)]
    optimiser = torch.optim.AdamW(
        network.groups(recipe.rate, recipe.head_rate), weight_decay=recipe.decay, fused=True
    )
    rise, whole = recipe.warmup * len(batches), len(batches)
    alone = recipe.probe * whole

    def factor(step: int, start: float) -> float:
        """Nothing before ``start``, then a rise and a linear fall to the end."""
        past = step - start
        return max(0.0, min((past + 1) / rise, (whole - step) / (whole - start - rise)))

    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, [lambda s: factor(s, alone), lambda s: factor(s, 0.0)]
    )
    run = _Run(folder, network, optimiser, schedule, origin(items, recipe, seed))
    if run.resume(keep):
        return
    network.train()
    torch.manual_seed(seed + run.step)
    saved = time.monotonic()
    while run.step < whole:
        run.one([items[i] for i in batches[run.step]], loss, recipe.clip)
        if run.step % _LOG_STEPS == 0 or run.step == whole:
            run.log(whole)
        if time.monotonic() - saved > CHECKPOINT_SECONDS or run.step == whole:
            run.save()
            saved = time.monotonic()


class _Run:
    """Where a run stands: what a checkpoint holds."""

    def __init__(
        self,
        folder: Path,
        network: Network,
        optimiser: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        made_from: str,
    ) -> None:
        self._folder, self._network = folder, network
        self._made_from = made_from
        self._optimiser, self._schedule = optimiser, schedule
        self.step = self._first = 0
        self._started = time.monotonic()
        self._loss = torch.zeros(())

    def one(self, items: Sequence[Item], loss: Loss, clip: float) -> None:
        """One step."""
        ids, mask, types, features, targets = tensors(items)
        value = loss(self._network(ids, mask, types, features), targets)
        value.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), clip)
        self._optimiser.step()
        self._schedule.step()
        self._optimiser.zero_grad()
        now = value.detach()  # read when it is told: a GPU need not be waited for in each step
        self._loss = now if self.step == self._first else 0.98 * self._loss + 0.02 * now
        self.step += 1

    def log(self, end: int) -> None:
        """A line on the screen and in the log."""
        seconds = (time.monotonic() - self._started) / max(1, self.step - self._first)
        left = (end - self.step) * seconds / 60
        loss, name = self._loss.item(), f"{self._folder.parent.name} {self._folder.name}"
        print(f"{name}: step {self.step}/{end} loss {loss:.4f}, {left:.0f} min left", flush=True)
        with (self._folder / "log.jsonl").open("a") as log:
            entry = {"step": self.step, "loss": round(loss, 4), "at": int(time.time())}
            log.write(json.dumps(entry) + "\n")

    def save(self) -> None:
        """A checkpoint; a killed run leaves no half of one."""
        partial = self._folder / "state.part"
        parts = {"network": self._network, "optimiser": self._optimiser, "schedule": self._schedule}
        state = {name: part.state_dict() for name, part in parts.items()}
        torch.save(state | {"step": self.step, "origin": self._made_from}, partial)
        partial.rename(self._folder / "state.pt")

    def resume(self, keep: bool) -> bool:
        """Takes up the last checkpoint, if there is one; whether it is of another run, and kept."""
        path = self._folder / "state.pt"
        if not path.exists():
            return False
        state = torch.load(path, torch.get_default_device(), weights_only=True)
        other = is_other(state.get("origin"), self._made_from, path, keep)
        self._network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])
        self.step = self._first = int(state["step"])
        return other


def losses(folder: Path) -> list[tuple[int, float]]:
    """Step and running mean of the loss, along the first run in ``folder``."""
    lines = (run_folder(folder, 0) / "log.jsonl").read_text().splitlines()
    return [(int(e["step"]), float(e["loss"])) for e in map(json.loads, lines)]


def describe(folder: Path, recipe: Recipe) -> str:
    """How long the runs in ``folder`` were."""
    steps, _ = losses(folder)[-1]
    return (
        f"{folder.name}: {steps} batches of at most {recipe.batch_tokens} tokens, epochs"
        f" {recipe.epochs}, runs averaged {recipe.runs}"
    )
