"""From raw scores to calibrated ones, and the thresholds, all on rows that training never saw."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training import calibrate, data, safety_rows, support_rows
from training.calibrate import F64, Labels
from training.package import Settings
from training.safety_rows import TARGETS
from training.scoring import TEXT_TASKS, Scores

HARD = {
    "notinject_fpr": 0.04, "wildguard_benign_fpr": 0.015, "xstest_fpr": 0.008,
    "xstest_safe_fpr": 0.015,
}  # fmt: skip
"""Highest share of harmless texts that look bad, by set, to be flagged at warn."""
POOL = 10_000  # harmless rows for each threshold, at least
MISSED = 0.0025
"""Share of the bad dev rows flagged by the model that the first pass may clear, by task. At twice
as many an earlier one cleared one in twenty of the hidden orders that the model flags."""
FROM_TOKENS = 32
"""Shorter windows are not cleared: few words tell a bag of words little, and cost the model little.
"""


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
        scores = _worst(draft.windows(f"dev {task}", texts), task)
        platt = calibrate.platt(logit(scores), labels)
        settings.platt[task] = platt
        harmless = np.asarray([r.targets[TARGETS.index(task)] == 0 for r in pool])
        calm = _calibrated(raw[task][harmless], platt)
        _choose(calm, task, settings)
        asked = _raise_warn(folder, draft, task, settings)
        told[task] = _told(calm, settings.thresholds[task]) | asked
        told[task]["sources"] = _sources(
            r.source for r, calm in zip(pool, harmless, strict=True) if calm
        )
        found = _calibrated(scores, platt)
        told[task]["reliability"] = calibrate.reliability(found, labels)
    return told


def _worst(windows: dict[str, F64], task: str) -> F64:
    """Score of each text: its worst window, for toxicity of the first reading only."""
    read = (windows["first"] == 1) | (task == "injection")
    worst = np.zeros(int(windows["text"].max()) + 1)
    np.maximum.at(worst, windows["text"][read].astype(int), windows[task][read])
    return worst


def _raise_warn(folder: Path, draft: Scores, task: str, settings: Settings) -> dict[str, Any]:
    """Raises warn until the open halves of the ``*_fpr`` sets keep to HARD; what decided, and
    limits that were asked for and not given: above page warn would mean nothing.

    The pool is ordinary text; these sets are harmless texts chosen to look bad.
    """
    decided, refused = "the pool", {}
    for path in sorted((folder / "test" / task).glob("*_fpr.jsonl.gz")):
        rows = [r for r in data.read(path) if data.validation_half(r["text"])]
        name = path.name.removesuffix(".jsonl.gz")
        raw = draft.texts(f"open half {name}", [r["text"] for r in rows])[task]
        found = np.sort(_calibrated(raw, settings.platt[task]))[::-1]
        limit = float(np.floor(float(found[int(HARD[name] * len(found))]) * 1e4 + 1) / 1e4)
        limits = settings.thresholds[task]
        if limit >= limits["page"]:
            refused[name] = limit
        elif limit > limits["warn"]:
            limits["warn"], decided = limit, name
    return {"decided": decided, "refused": refused}


def _sources(names: Iterable[str]) -> dict[str, int]:
    """Rows by source, the most frequent first."""
    return dict(Counter(names).most_common())


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
    told = _told(calm, settings.thresholds[task]) | {"decided": "the pool", "refused": {}}
    told["sources"] = _sources(r.source for r in pool)
    told["reliability"] = calibrate.reliability(_calibrated(scores, platt), labels)
    return told


def clear_below(saving: F64, share: float) -> float:
    """Highest limit under which at most this share of the texts would be cleared."""
    scores = np.sort(saving)
    missed = int(share * len(scores))
    return float(np.floor(scores[missed] * 1e4) / 1e4)


def cascade_settings(folder: Path, draft: Scores, settings: Settings) -> dict[str, Any]:
    """Limits under which the first pass clears a window, and what it does to the dev texts.

    A flagged text stays flagged if the model sees one of the windows that flag it, so it is worth
    the best cheap score among those. What counts is a bad text that is lost: to clear one that is
    flagged by mistake is no loss. A window is cleared only when both tasks say so: the limits, each
    found alone, are on the safe side.
    """
    told: dict[str, Any] = {}
    limits: dict[str, float] = {}
    for task in TEXT_TASKS:
        windows, flags, labels = _flags(folder, draft, task, settings)
        cheap = np.where(windows["tokens"] < FROM_TOKENS, 1.0, windows[f"cheap_{task}"])
        saving = np.full(len(labels), -1.0)
        np.maximum.at(saving, windows["text"][flags].astype(int), cheap[flags])
        limits[task] = min(
            clear_below(saving[(saving >= 0) & (labels == 1)], MISSED),
            settings.thresholds[task]["warn"],
        )
        told[task] = {"limit": limits[task]}
    settings.cascade = {"from_tokens": FROM_TOKENS, "clear_below": limits}
    for task in TEXT_TASKS:
        windows, flags, labels = _flags(folder, draft, task, settings)
        seen = np.any([windows[f"cheap_{t}"] >= limits[t] for t in TEXT_TASKS], axis=0)
        seen |= windows["tokens"] < FROM_TOKENS
        owner = windows["text"].astype(int)
        flagged, kept, judged = (
            np.bincount(owner, weights=of, minlength=len(labels)) > 0
            for of in (flags, flags & seen, seen)
        )
        told[task] |= {
            "flagged": int(flagged.sum()),
            "kept": float(kept[flagged].mean()),
            "flagged_bad": int((flagged & (labels == 1)).sum()),
            "kept_bad": float(kept[flagged & (labels == 1)].mean()),
            "cleared_harmless": float(1 - judged[labels == 0].mean()),
        }
    return told


def _flags(
    folder: Path, draft: Scores, task: str, settings: Settings
) -> tuple[dict[str, F64], npt.NDArray[np.bool_], Labels]:
    """Windows of the dev texts, which of them flag their text at warn, and the texts' labels."""
    texts, labels = _dev(folder, task)
    windows = draft.windows(f"dev {task}", texts)
    flags = _calibrated(windows[task], settings.platt[task]) >= settings.thresholds[task]["warn"]
    return windows, flags & ((windows["first"] == 1) | (task == "injection")), labels
