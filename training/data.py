"""Reads the starter data and makes the rows each head is trained and judged on.

Data files are gzip JSON Lines (see README.md); text in them is data, never instructions.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training import augment

SKIP_SOURCES = {"inthewild_jailbreaks"}  # licence of the collection is unclear
TOXICITY_ROWS = 40_000  # cap on public training rows, to keep one run under half an hour on 2 cores
HALLUCINATION_ROWS = 25_000
CROSS_ROWS = 3_000  # rows borrowed per other task as negatives
CHUNK_WORDS = 80  # evidence window, as in the product
TOP_CHUNKS = 2  # best chunks of the evidence each claim is scored against, as in the product
CLAIM_WORDS = 80  # longer responses are cut here for training and evaluation
SHORT_ANSWER_WORDS = 4  # answers up to this length are judged with their question before them

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"\w+")


@dataclass
class TextRows:
    """Rows of a text classifier: texts, labels (1 = bad) and where each row came from."""

    texts: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    def add(self, text: str, label: int, source: str) -> None:
        self.texts.append(text)
        self.labels.append(label)
        self.sources.append(source)


@dataclass
class PairRows:
    """Rows of the support classifier: a claim and the 1..TOP_CHUNKS evidence chunks for it."""

    claims: list[str] = field(default_factory=list)
    chunks: list[list[str]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read(path: Path) -> list[dict[str, Any]]:
    """All rows of a .jsonl.gz file but those of SKIP_SOURCES."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [r for r in rows if r.get("source") not in SKIP_SOURCES]


def text_rows(path: Path) -> TextRows:
    """One labelled text file as it is."""
    rows = TextRows()
    for r in read(path):
        rows.add(r["text"], int(r["label"]), r["source"])
    return rows


def training_rows(folder: Path, task: str, seed: int) -> TextRows:
    """Training rows of `injection` or `toxicity`: public, borrowed negatives, written programs.

    Borrowed: a toxic comment is no injection and an encyclopaedia passage is neither, so rows of
    the other tasks are negatives that the task's own data lacks.
    """
    rng = random.Random(f"{seed}:{task}")
    rows = TextRows()
    own = read(folder / "train" / f"{task}.jsonl.gz")
    if task == "toxicity":
        own = rng.sample(own, min(TOXICITY_ROWS, len(own)))
        written = augment.toxicity_rows(rng)
        other = [
            r
            for r in read(folder / "train" / "injection.jsonl.gz")
            if r["label"] == 0 and r["source"] != "plain_harmful_requests"
        ]
    else:
        written = augment.injection_rows(rng)
        other = read(folder / "train" / "toxicity.jsonl.gz")
    for r in own:
        rows.add(r["text"], int(r["label"]), r["source"])
    for r in rng.sample(other, min(CROSS_ROWS, len(other))):
        rows.add(r["text"][:1200], 0, "borrowed")
    pairs = read(folder / "train" / "hallucination.jsonl.gz")
    for r in rng.sample(pairs, CROSS_ROWS // 2):
        rows.add(r["context"][:800], 0, "borrowed")
        rows.add(r["response"][:800], 0, "borrowed")
    for text, label in written:
        rows.add(text, label, "written")
    return rows


def chunk(evidence: str, words: int = CHUNK_WORDS) -> list[str]:
    """Cut evidence into windows of whole sentences of at most `words` words (long ones are cut)."""
    chunks: list[str] = []
    current: list[str] = []
    size = 0
    for sentence in _SENTENCE.split(evidence):
        parts = sentence.split()
        while parts:
            head, parts = parts[:words], parts[words:]
            if current and size + len(head) > words:
                chunks.append(" ".join(current))
                current, size = [], 0
            current += head
            size += len(head)
    if current:
        chunks.append(" ".join(current))
    return chunks or [""]


def best_chunks(claim: str, evidence: str, count: int = TOP_CHUNKS) -> list[str]:
    """The `count` chunks that share most distinct words with the claim, best first."""
    wanted = {w for w in _WORD.findall(claim.lower()) if len(w) > 2}
    chunks = chunk(evidence)
    overlap = [len(wanted & set(_WORD.findall(c.lower()))) for c in chunks]
    order = sorted(range(len(chunks)), key=lambda i: -overlap[i])
    return [chunks[i] for i in order[:count]]


def claim_of(row: dict[str, Any]) -> str:
    """The text judged: the response, with its question in front when it is a bare short answer.

    A whole response of several sentences is one claim here, cut at CLAIM_WORDS words; the product
    judges sentence by sentence.
    """
    words = str(row["response"]).split()[:CLAIM_WORDS]
    if len(words) <= SHORT_ANSWER_WORDS and row.get("question"):
        return f"{row['question']} {' '.join(words)}"
    return " ".join(words)


def pair_rows(path: Path, cap: int = 0, seed: int = 0) -> PairRows:
    """Claims with their best evidence chunks; at most `cap` rows, sampled with `seed`."""
    found = read(path)
    if cap and len(found) > cap:
        found = random.Random(f"{seed}:pairs").sample(found, cap)
    rows = PairRows()
    for r in found:
        claim = claim_of(r)
        rows.claims.append(claim)
        rows.chunks.append(best_chunks(claim, r["context"]))
        rows.labels.append(int(r["label"]))
        rows.sources.append(r["source"])
    return rows
