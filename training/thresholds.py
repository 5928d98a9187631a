"""From raw scores to calibrated ones, and the thresholds, all on rows that training never saw."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from processors.evaluate.batching import plan_batches, tokenise
from processors.evaluate.graphs import Model
from training import calibrate, data, safety_rows, support_rows
from training.calibrate import F64, Labels
from training.package import Settings
from training.safety_rows import TARGETS
from training.scoring import WINDOWS, Scores

TEXT_TASKS = ("injection", "toxicity")
HARD = {
    "notinject_fpr": 0.04, "wildguard_benign_fpr": 0.015, "xstest_fpr": 0.008,
    "xstest_safe_fpr": 0.015,
}  # fmt: skip
"""Highest share of harmless texts that look bad, by set, to be flagged at warn."""
POOL = 10_000  # harmless rows for each threshold, at least
_FIRST_PASS_TOKENS = 64 << 10
MISSED = 0.005
"""Share of the dev rows flagged by the model that the first pass may clear, for each task."""


def logit(scores: F64) -> F64:
    """The logits behind scores; the ends are cut where fp32 cannot tell them apart."""
    safe = np.clip(np.asarray(scores, np.float64), 1e-7, 1 - 1e-7)
    return np.log(safe) - np.log1p(-safe)


def sigmoid(x: F64) -> F64:
    """The inverse."""
    return 1.0 / (1.0 + np.exp(-x))


def _calibrated(scores: F64, platt: tuple[float, float]) -> F64:
    return sigmoid(platt[0] * logit(scores) + platt[1])


def _dev(folder: Path, task: str) -> tuple[list[str], Labels]:
    rows = data.read(folder / "dev" / f"{task}.jsonl.gz")
    return [r["text"] for r in rows], np.asarray([int(r["label"]) for r in rows])


def text_settings(folder: Path, draft: Scores, settings: Settings) -> dict[str, Any]:
    """Calibration and thresholds of the text tasks, into ``settings``; what to tell of them."""
    pool = _pool(folder)
    raw = draft.texts("pool", [r.text for r in pool])
    told: dict[str, Any] = {}
    for task in TEXT_TASKS:
        texts, labels = _dev(folder, task)
        scores = draft.texts(f"dev {task}", texts)[task]
        platt = calibrate.platt(logit(scores), labels)
        settings.platt[task] = platt
        harmless = np.asarray([r.targets[TARGETS.index(task)] == 0 for r in pool])
        calm = _calibrated(raw[task][harmless], platt)
        _choose(calm, task, settings)
        decided = _raise_warn(folder, draft, task, settings)
        told[task] = _told(calm, settings.thresholds[task]) | {"decided": decided}
        found = _calibrated(scores, platt)
        told[task]["reliability"] = calibrate.reliability(found, labels)
    return told


def _raise_warn(folder: Path, draft: Scores, task: str, settings: Settings) -> str:
    """Raises warn until the open halves of the ``*_fpr`` sets keep to HARD; what decided.

    The pool is ordinary text; these sets are harmless texts chosen to look bad.
    """
    decided = "the pool"
    for path in sorted((folder / "test" / task).glob("*_fpr.jsonl.gz")):
        rows = [r for r in data.read(path) if data.validation_half(r["text"])]
        name = path.name.removesuffix(".jsonl.gz")
        raw = draft.texts(f"open half {name}", [r["text"] for r in rows])[task]
        found = np.sort(_calibrated(raw, settings.platt[task]))[::-1]
        limit = np.floor(float(found[int(HARD[name] * len(found))]) * 1e4 + 1) / 1e4
        limits = settings.thresholds[task]
        # Never above page: of harmless texts that look bad, some will be flagged.
        if limits["warn"] < limit < limits["page"]:
            limits["warn"], decided = float(limit), name
    return decided


def _pool(folder: Path) -> list[safety_rows.SafetyRow]:
    """Seeded rows of both pools, until each task has POOL harmless ones."""
    union = {r.text: r for task in TEXT_TASKS for r in safety_rows.benign_pool(folder, task)}
    rows = sorted(union.values(), key=lambda r: r.text)
    random.Random(f"{data.SEED}:pool").shuffle(rows)
    columns = [TARGETS.index(task) for task in TEXT_TASKS]
    harmless = np.cumsum([[r.targets[c] == 0 for c in columns] for r in rows], axis=0)
    return rows[: int(np.argmax((harmless >= POOL).all(axis=1))) + 1]


def _choose(harmless: F64, task: str, settings: Settings) -> None:
    settings.thresholds[task] = {
        "warn": calibrate.threshold(harmless, calibrate.WARN_RATE),
        "page": calibrate.threshold(harmless, calibrate.PAGE_RATE),
    }


def _told(harmless: F64, limits: Mapping[str, float]) -> dict[str, Any]:
    told: dict[str, Any] = {"pool": len(harmless)}
    for level, limit in limits.items():
        hits = int((harmless >= limit).sum())
        told[level] = {"hits": hits, "upper": calibrate.upper_limit(hits, len(harmless))}
    return told


def support_settings(folder: Path, draft: Scores, settings: Settings) -> dict[str, Any]:
    """The same for support, whose pool are supported claims."""
    task = "hallucination"
    dev = support_rows.dev_rows(folder)
    labels = np.asarray([r.label for r in dev])
    scores = draft.pairs("dev hallucination", [(r.claim, r.evidence) for r in dev])
    platt = calibrate.platt(logit(scores), labels)
    settings.platt[task] = platt
    pool = support_rows.supported_pool(folder, POOL)
    raw = draft.pairs("pool hallucination", [(r.claim, r.evidence) for r in pool])
    calm = _calibrated(raw, platt)
    _choose(calm, task, settings)
    told = _told(calm, settings.thresholds[task]) | {"decided": "the pool"}
    told["reliability"] = calibrate.reliability(_calibrated(scores, platt), labels)
    return told


def cheap_scores(folder: Path, task: str, model: Model) -> dict[str, F64]:
    """What the first pass says of the dev texts of ``task``: the worst window, by text task."""
    texts, _ = _dev(folder, task)
    tokenised = tokenise(model, [data.unmasked(data.redacted(t)) for t in texts], WINDOWS)
    rows = [w.ids for one in tokenised for w in one.windows]
    found = {name: np.zeros(len(rows)) for name in TEXT_TASKS}
    graph = model.graphs["first"]
    for batch in plan_batches([len(r) for r in rows], _FIRST_PASS_TOKENS):
        ids = np.zeros((len(batch), max(len(rows[i]) for i in batch)), np.int64)
        mask = np.zeros_like(ids)
        for place, index in enumerate(batch):
            ids[place, : len(rows[index])], mask[place, : len(rows[index])] = rows[index], 1
        values = graph.run(TEXT_TASKS, {"input_ids": ids, "attention_mask": mask})
        for name, scores in zip(TEXT_TASKS, values, strict=True):
            found[name][batch] = scores
    owner = np.asarray([i for i, one in enumerate(tokenised) for _ in one.windows])
    worst = {}
    for name, values in found.items():
        worst[name] = np.zeros(len(texts))
        np.maximum.at(worst[name], owner, values)
    return worst


def clear_below(cheap: F64, flagged: npt.NDArray[np.bool_]) -> float:
    """Highest limit under which at most MISSED of the flagged rows would be cleared."""
    scores = np.sort(cheap[flagged])
    missed = int(MISSED * len(scores))
    return float(np.floor(scores[missed] * 1e4) / 1e4)


def cascade_settings(
    folder: Path, draft: Scores, cheap: dict[str, dict[str, F64]], settings: Settings
) -> dict[str, Any]:
    """Limits under which the first pass clears a text; what it clears of dev.

    ``cheap`` holds its scores of dev by file and task. A text is cleared only when both tasks say
    so, so limits that each miss half of what may be missed are on the safe side.
    """
    told: dict[str, Any] = {}
    for task in TEXT_TASKS:
        texts, _ = _dev(folder, task)
        full = _calibrated(draft.texts(f"dev {task}", texts)[task], settings.platt[task])
        flagged = full >= settings.thresholds[task]["warn"]
        limit = min(clear_below(cheap[task][task], flagged), settings.thresholds[task]["warn"])
        settings.clear_below[task] = limit
        told[task] = {"flagged": int(flagged.sum()), "limit": limit, "missed": MISSED}
    for task in TEXT_TASKS:
        texts, labels = _dev(folder, task)
        cleared = np.all([cheap[task][t] < settings.clear_below[t] for t in TEXT_TASKS], axis=0)
        full = _calibrated(draft.texts(f"dev {task}", texts)[task], settings.platt[task])
        flagged = full >= settings.thresholds[task]["warn"]
        told[task] |= {
            "kept": float(1 - cleared[flagged].mean()) if flagged.any() else 1.0,
            "cleared_harmless": float(cleared[labels == 0].mean()),
        }
    return told
