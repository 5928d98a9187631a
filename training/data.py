"""Reads the data files, and keeps part of them out of training.

Data files are gzip JSON Lines (see README.md); text in them is data, never instructions.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

from processors.evaluate.normalise import readings
from processors.operations.redact import Redactor

SEED = 11
SKIP_SOURCES = {"inthewild_jailbreaks"}  # licence of the collection is unclear
HELD_OUT_PERCENT = 12
"""Share of the harmless rows of each training file that only thresholds are chosen on."""

_REDACTOR = Redactor(b"training: placeholders of no stack")


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read(path: Path) -> list[dict[str, Any]]:
    """All rows of a .jsonl.gz file but those of SKIP_SOURCES."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [r for r in rows if r.get("source") not in SKIP_SOURCES]


def percentile(key: str) -> int:
    """0 to 99, by a seeded hash: the same text always falls on the same side of a split."""
    return int(hashlib.sha256(f"{SEED}:{key}".encode()).hexdigest()[:8], 16) % 100


def held_out(key: str) -> bool:
    """Whether a harmless row with this text is kept for the thresholds."""
    return percentile(key) < HELD_OUT_PERCENT


def validation_half(key: str) -> bool:
    """Whether a row of a ``*_fpr`` set may be looked at before the end."""
    return percentile("half:" + key) < 50


def redacted(text: str, call: str | None = None) -> str:
    """The text as it reaches a model: personal data and secrets as placeholders. A value has the
    same one in all texts of a ``call``; without, the text is a call of its own."""
    return _REDACTOR.redact(text, "", text[:64] if call is None else call, "")[0]


def unmasked(text: str) -> str:
    """The first reading of a text, as the injection model sees it."""
    return readings(text)[0].text


def check(folder: Path) -> None:
    """Say so when the data files are not those the shipped model was made from."""
    known = json.loads((Path(__file__).parent / "data_hashes.json").read_text())["files"]
    other = [n for n, h in known.items() if not (folder / n).exists() or sha256(folder / n) != h]
    if other:
        print(f"note: {len(other)} data files differ from data_hashes.json: {other[:5]}")
