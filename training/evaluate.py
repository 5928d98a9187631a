"""The finished folder on the test sets: figures with intervals, also by group. See ``card``."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from processors.evaluate.assess import Row
from processors.evaluate.metrics import auroc
from training import calibrate, data, support_rows
from training.calibrate import F64, Labels
from training.package import CLAIMED_LABELS, TASKS
from training.scoring import Scores
from training.written.noise import with_placeholder

ANSWERS = 600  # rows of each hallucination test set, sampled: reading long evidence is the cost
PLACEHOLDER_ROWS = 400
GROUP_ROWS = 10  # smaller groups are not shown
GROUPS = (
    "kind", "attack", "position", "variant", "category", "functionality", "type", "domain", "edit",
    "model", "round",
)  # fmt: skip
ANSWER_WORDS = (4, 9, 19)
LONGER = "longer"
POOLED = ("deepset_test", "piguard_valid")
"""Small sets that are also read as one."""
IDENTITIES = {
    "women": ("women", "woman", "female"), "trans people": ("trans",),
    "gay people": ("gay", "homo"),
    "Black people": ("black",), "disabled people": ("disab",), "Muslims": ("muslim", "islam"),
    "immigrants": ("immigra",), "Jewish people": ("jew",),
}  # fmt: skip


def figures(scores: F64, labels: Labels, limits: Mapping[str, float]) -> dict[str, Any]:
    """rows, auroc and, at warn and page, recall and false-positive rate, each with its interval."""
    found: dict[str, Any] = {"rows": len(labels), "positives": int(labels.sum())}
    if (area := auroc(scores, labels)) is not None:
        low, high = calibrate.auroc_interval(scores, labels, area)
        found["auroc"] = [round(v, 4) for v in (area, low, high)]
    for level, limit in limits.items():
        flagged = scores >= limit
        entry: dict[str, Any] = {}
        for name, side in (("recall", 1), ("false_positive_rate", 0)):
            rows = int((labels == side).sum())
            if rows:
                hits = int(flagged[labels == side].sum())
                low, high = calibrate.interval(hits, rows)
                entry[name] = [round(v, 4) for v in (hits / rows, low, high)]
        if flagged.any() and 0 < labels.sum() < len(labels):
            entry["precision"] = round(float(labels[flagged].mean()), 4)
        found[level] = entry
    return found


def _length(row: Mapping[str, Any]) -> str:
    words = len(str(row.get("text") or f"{row.get('context')} {row.get('response')}").split())
    for top in (16, 64, 256):
        if words <= top:
            return f"up to {top} words"
    return "over 256 words"


def _answer_length(row: Mapping[str, Any]) -> str:
    words = len(str(row["response"]).split())
    return next((f"up to {top} words" for top in ANSWER_WORDS if words <= top), LONGER)


def length_alone(rows: Sequence[Mapping[str, Any]], labels: Labels) -> float | None:
    """AUROC of "the longer the answer, the worse": what a set gives to who reads nothing."""
    words = np.asarray([len(str(row["response"]).split()) for row in rows], float)
    return auroc(words, labels)


def _names(row: Mapping[str, Any]) -> list[str]:
    found = [f"length: {_length(row)}", f"language: {row.get('lang', 'en')}"]
    if "response" in row:
        found.append(f"answer: {_answer_length(row)}")
    found += [f"{key}: {row[key]}" for key in GROUPS if row.get(key)]
    found += [f"label: {label}" for label, so in (row.get("labels") or {}).items() if so == 1]
    if "functionality" in row or row.get("source", "").startswith("xstest"):
        text = str(row["text"]).lower()
        found += [f"names {g}" for g, words in IDENTITIES.items() if any(w in text for w in words)]
    return found


def grouped(
    rows: Sequence[Mapping[str, Any]], scores: F64, labels: Labels, limits: Mapping[str, float]
) -> dict[str, Any]:
    """Figures by every group of at least GROUP_ROWS rows, where there is more than one."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        for name in _names(row):
            places[name].append(place)
    kept = {n: p for n, p in places.items() if GROUP_ROWS <= len(p) < len(rows)}
    return {n: figures(scores[p], labels[p], limits) for n, p in sorted(kept.items())}


def test_rows(path: Path, task: str) -> list[dict[str, Any]]:
    """Rows of a test file: all of the texts, a seeded sample of the answers.

    Of a ``*_fpr`` file only the half that no choice was made on, wherever its rows are.
    """
    rows = data.read(path)
    if path.name == "piguard_valid.jsonl.gz":  # it borrows rows of a set whose half was open
        other = {r["text"] for r in data.read(path.with_name("wildguard_benign_fpr.jsonl.gz"))}
        return [r for r in rows if r["text"] not in other or not data.validation_half(r["text"])]
    if path.name.endswith("_fpr.jsonl.gz"):
        return [r for r in rows if not data.validation_half(r["text"])]
    if task == "hallucination" and len(rows) > ANSWERS:  # dev too
        return random.Random(f"{data.SEED}:test").sample(rows, ANSWERS)
    return rows


def score_rows(scores: Scores, rows: Sequence[Mapping[str, Any]], task: str, name: str) -> F64:
    """The product's score of every row."""
    if task != "hallucination":
        return scores.texts(name, [r["text"] for r in rows])[task]
    return scores.answers(
        name,
        [
            Row(
                label=int(r["label"]),
                context=r["context"],
                response=r["response"],
                question=str(r.get("question") or ""),
            )
            for r in rows
        ],
    )


def run(scores: Scores, folder: Path, task: str) -> dict[str, Any]:
    """Figures of one task on dev and on every test set."""
    limits = scores.model.manifest.tasks[task].thresholds
    levels = {"warn": limits.warn, "page": limits.page}
    found: dict[str, Any] = {}
    files = [folder / "dev" / f"{task}.jsonl.gz"]
    files += sorted((folder / "test" / task).glob("*.jsonl.gz"))
    pooled: list[tuple[F64, Labels]] = []
    for path in files:
        rows = test_rows(path, task)
        labels = np.asarray([int(r["label"]) for r in rows])
        values = score_rows(scores, rows, task, path.name)
        name = path.name.removesuffix(".jsonl.gz")
        name = "dev" if path.parent.name == "dev" else name
        found[name] = figures(values, labels, levels)
        found[name]["groups"] = grouped(rows, values, labels, levels)
        if task == "hallucination":
            found[name]["length_alone"] = length_alone(rows, labels)
        if name in POOLED:
            pooled.append((values, labels))
    if pooled:
        values, labels = (np.concatenate(part) for part in zip(*pooled, strict=True))
        found[" + ".join(POOLED)] = figures(values, labels, levels)
    return found


def areas(
    scores: Scores, folder: Path, tasks: Sequence[str] = TASKS
) -> dict[str, dict[str, list[float]]]:
    """AUROC with its 95% interval by task and set: of a folder that is not calibrated yet."""
    found = {task: run(scores, folder, task) for task in tasks}
    return {
        task: {name: told["auroc"] for name, told in sets.items() if "auroc" in told}
        for task, sets in found.items()
    }


def labels(scores: Scores, folder: Path) -> dict[str, dict[str, Any]]:
    """AUROC of the claimed finer labels on the dev rows where they are known."""
    rows = data.read(folder / "dev" / "toxicity.jsonl.gz")
    names = {label: f"label_{label}" for label in CLAIMED_LABELS}
    values = scores.labels("dev", [r["text"] for r in rows], list(names.values()))
    found = {}
    for label, output in names.items():
        known = [i for i, r in enumerate(rows) if (r.get("labels") or {}).get(label) in (0, 1)]
        truth = np.asarray([int(rows[i]["labels"][label]) for i in known])
        area = auroc(values[output][known], truth)
        low, high = calibrate.auroc_interval(values[output][known], truth, area or 0.5)
        found[label] = {
            "rows": len(known),
            "positives": int(truth.sum()),
            "auroc": [round(v, 4) for v in (area or 0.5, low, high)],
        }
    return found


def placeholders(scores: Scores, folder: Path) -> dict[str, dict[str, Any]]:
    """Dev rows as they are and with a placeholder of the redactor among their words: AUROC of both,
    and verdicts at warn that change."""
    found = {}
    for task in TASKS:
        rng = random.Random(f"{data.SEED}:placeholders")
        name = f"placeholders {task}"
        if task == "hallucination":
            kept = rng.sample(support_rows.dev_rows(folder), PLACEHOLDER_ROWS)
            truth = np.asarray([r.label for r in kept])
            other = [support_rows.hidden(r, rng) for r in kept]
            plain, marked = (
                scores.pairs(f"{name} {n}", [(r.claim, r.evidence) for r in part])
                for n, part in enumerate((kept, other))
            )
        else:
            rows = data.read(folder / "dev" / f"{task}.jsonl.gz")
            picked = rng.sample(rows, PLACEHOLDER_ROWS)
            truth = np.asarray([int(r["label"]) for r in picked])
            texts = [r["text"] for r in picked]
            plain, marked = (
                scores.texts(f"{name} {n}", part)[task]
                for n, part in enumerate((texts, [with_placeholder(t, rng) for t in texts]))
            )
        warn = scores.model.manifest.tasks[task].thresholds.warn
        found[task] = {
            "rows": len(truth),
            "auroc": [auroc(plain, truth), auroc(marked, truth)],
            "changed": int(((plain >= warn) != (marked >= warn)).sum()),
        }
    return found
