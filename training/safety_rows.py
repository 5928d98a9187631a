"""Rows for the shared injection and toxicity model, with every label that is known.

A label is 1, 0 or unknown (NaN, no loss). Rows of one task serve the other where the truth is
plain: a toxic comment is no injection, a question about pasta is not toxic. What a jailbreak asks
for may well be toxic, so injections leave toxicity unknown.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training import data
from training.written import benign, direct, harm, hate, indirect, roleplay
from training.written.noise import restyled, with_placeholder

TARGETS = (
    "injection", "toxicity", "hate", "insult", "obscene", "threat", "sexual", "self_harm",
    "violence",
)  # fmt: skip
TOXICITY_ROWS = 18_000  # of the public ones, for the model: more drown the written rows
REPEATED = {
    "deepset_train": 4, "convabuse_train": 2, "convabuse_valid": 2, "pyrit_harm_completions": 3,
}  # fmt: skip
"""Sources to see several times: few rows, written to or by an assistant, and no other like them."""
DOCUMENTS = 3_000
PASSAGES = 1_500  # evidence passages lent to written documents
BORROWED = 800
JOINED = 1_200
"""Long harmless messages made of short ones: public prompts are short, and length is no attack."""
RESTYLED, PLACEHOLDERS = 0.08, 0.06  # shares of rows
_MAYBE_TOXIC = {"plain_harmful_requests", "synth_benign_document:wiki_talk", "convabuse_chat_turns"}


_SHORT = 400  # characters of a message that is joined with others
_PASSAGE = 1_200  # characters of an evidence passage in a pool
_DOCUMENTS = ("synth_indirect:", "synth_benign_document:")


@dataclass(frozen=True, slots=True)
class SafetyRow:
    """A text as a model sees it; ``targets`` has one value per name of TARGETS."""

    text: str
    targets: npt.NDArray[np.float32]
    source: str
    cut: str = "any"
    """Where a text too long for training may be cut: any, start, end, or never."""


def targets(**known: int) -> npt.NDArray[np.float32]:
    """Values by name, the others unknown."""
    values = np.full(len(TARGETS), np.nan, np.float32)
    for name, value in known.items():
        values[TARGETS.index(name)] = value
    return values


def _toxicity(label: int, labels: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    known = {k: int(v) for k, v in labels.items() if k in TARGETS and v in (0, 1)}
    return targets(injection=0, toxicity=label, **known)


def injection_row(row: Mapping[str, Any]) -> SafetyRow:
    """A row of an injection file."""
    bad = int(row["label"])
    known = {"injection": bad}
    if not bad and row["source"] not in _MAYBE_TOXIC:
        known["toxicity"] = 0
    cut = "any"
    if bad:
        indirect_kind = row.get("kind") == "indirect"
        cut = str(row.get("position") or ("never" if indirect_kind else "start"))
    text = data.unmasked(data.redacted(row["text"]))
    return SafetyRow(text, targets(**known), row["source"], "never" if cut == "middle" else cut)


def toxicity_row(row: Mapping[str, Any]) -> SafetyRow:
    """A row of a toxicity file."""
    cut = "start" if row["label"] else "any"
    values = _toxicity(int(row["label"]), row.get("labels") or {})
    return SafetyRow(data.redacted(row["text"]), values, row["source"], cut)


def _kept(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [r for r in rows if r["label"] == 1 or not data.held_out(r["text"])]


def _written(passages: list[str], rng: random.Random) -> list[SafetyRow]:
    found: list[SafetyRow] = []

    def add(text: str, source: str, **known: int) -> None:
        found.append(SafetyRow(text, targets(**known), f"written:{source}", "never"))

    for text in direct.attacks(rng):
        add(text, "direct", injection=1)
    for text in benign.benign(rng):
        add(text, "benign", injection=0, toxicity=0)
    for text, bad in roleplay.prompts(rng, 2000, 900):
        add(text, "roleplay", **({"injection": 1} if bad else {"injection": 0, "toxicity": 0}))
    for text, bad in indirect.documents(passages, DOCUMENTS, rng):
        add(text, "document", **({"injection": 1} if bad else {"injection": 0}))
    for text, bad, labels in hate.rows(rng):
        add(text, "hate", injection=0, toxicity=bad, **labels)
    for text, bad, labels in harm.rows(rng):
        add(text, "harm", injection=0, toxicity=bad, **labels)
    return found


def _joined(rows: list[SafetyRow], rng: random.Random) -> list[SafetyRow]:
    both = [TARGETS.index(name) for name in ("injection", "toxicity")]
    calm = [r.text for r in rows if not any(r.targets[both]) and len(r.text) < _SHORT]
    found = []
    for _ in range(JOINED):
        text = rng.choice(("\n", "\n\n", " ")).join(rng.sample(calm, rng.randrange(4, 12)))
        found.append(SafetyRow(text, targets(injection=0, toxicity=0), "joined"))
    return found


def training_rows(folder: Path, every: bool = False) -> list[SafetyRow]:
    """Everything the safety model is trained on, in a seeded order; with ``every`` no public row is
    left out, for the first pass, which knows only words."""
    rng = random.Random(f"{data.SEED}:safety")
    injection = _kept(data.read(folder / "train" / "injection.jsonl.gz"))
    toxicity = _kept(data.read(folder / "train" / "toxicity.jsonl.gz"))
    pairs = data.read(folder / "train" / "hallucination.jsonl.gz")
    contexts = list(dict.fromkeys(r["context"] for r in pairs))
    contexts = [c for c in contexts if not data.held_out(c)]
    # Long documents are the cost, and the written ones are more varied: half of them will do.
    synthetic = [r for r in injection if r["source"].startswith(_DOCUMENTS)]
    rows = [injection_row(r) for r in injection if not r["source"].startswith(_DOCUMENTS)]
    rows += [injection_row(r) for r in rng.sample(synthetic, len(synthetic) // (1 if every else 2))]
    rare = [r for r in toxicity if r["source"] in REPEATED]
    others = [r for r in toxicity if r["source"] not in REPEATED]
    wanted = len(others) if every else TOXICITY_ROWS
    rows += [toxicity_row(r) for r in rare + rng.sample(others, wanted)]
    rows += [row for row in rows for _ in range(REPEATED.get(row.source, 1) - 1)]
    rng.shuffle(contexts)
    rows += _written(contexts[:PASSAGES], rng)
    for text in contexts[PASSAGES : PASSAGES + BORROWED]:
        plain = targets(injection=0, toxicity=0)
        rows.append(SafetyRow(data.redacted(text[:2000]), plain, "borrowed"))
    rows += _joined(rows, rng)
    rng.shuffle(rows)
    return [_varied(row, rng) for row in rows]


def _varied(row: SafetyRow, rng: random.Random) -> SafetyRow:
    """Now and then another style, or a placeholder among the words."""
    text, chance = row.text, rng.random()
    if chance < RESTYLED:
        text = restyled(text, rng)
    elif chance < RESTYLED + PLACEHOLDERS:
        text = with_placeholder(text, rng)
    return SafetyRow(text, row.targets, row.source, row.cut)


def dev_rows(folder: Path, task: str) -> list[SafetyRow]:
    """The dev file of ``injection`` or ``toxicity``."""
    make = injection_row if task == "injection" else toxicity_row
    return [make(r) for r in data.read(folder / "dev" / f"{task}.jsonl.gz")]


def benign_pool(folder: Path, task: str) -> list[SafetyRow]:
    """Harmless rows that training never saw: held-out training rows, and dev.

    Injection also counts every held-out harmless comment and evidence passage, toxicity the
    harmless prompts and passages.
    """
    found: dict[str, SafetyRow] = {}
    for part in ("train", "dev"):
        for name, make in (("injection", injection_row), ("toxicity", toxicity_row)):
            for r in data.read(folder / part / f"{name}.jsonl.gz"):
                if r["label"] == 0 and (part == "dev" or data.held_out(r["text"])):
                    found.setdefault(r["text"], make(r))
        pairs = data.read(folder / part / "hallucination.jsonl.gz")
        for text in dict.fromkeys(t for r in pairs for t in (r["context"], r["response"])):
            if part == "dev" or data.held_out(text):
                plain = targets(injection=0, toxicity=0)
                found.setdefault(text, SafetyRow(data.redacted(text[:_PASSAGE]), plain, "passages"))
    at = TARGETS.index(task)
    return [row for row in found.values() if row.targets[at] == 0]
