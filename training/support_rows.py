"""Pairs for the support model: a claim and the evidence chosen for it, as the product pairs them.

An answer becomes claims by the product's own rules, and each claim meets its best evidence chunks,
joined. A whole unsupported answer may have supported sentences, so of several claims its row is
kept only as one claim; of a supported answer any claim is supported.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processors.evaluate.claims import (
    CLAIM_WORDS,
    SHORT_ANSWER_WORDS,
    ClaimText,
    Source,
    claim_spans,
    joined_text,
    plan_pairs,
    with_question,
)
from training import data
from training.written import claims, facts
from training.written.facts import Case
from training.written.noise import placeholder

WRITTEN_FACTS, WRITTEN_CLAIMS = 3_500, 4_000
LIMITS = {
    "bipia_table_qa": 200, "bipia_table_qa_wrong": 200, "adversarial_qa_qa": 300,
    "adversarial_qa_qa_wrong": 300, "duorc_qa": 150, "duorc_qa_wrong": 150,
}  # fmt: skip
"""Rows of a source: tables and long plots are cut, and what is wrong may be in the other part."""
QUESTIONED = 0.3  # share of longer answers that carry their question
PLACEHOLDERS = 0.04
MNLI_ETC = {"mnli_dev_m", "snli_dev", "scitail_test"}
_SKIP = ("synth_claims",)  # their edits are cruder than those of ``written.claims``


@dataclass(frozen=True, slots=True)
class SupportRow:
    """A claim, its evidence, and label 1 when the evidence does not support it."""

    claim: str
    evidence: str
    label: int
    source: str


def paired(claim: str, evidence: str) -> str:
    """The evidence as the product would join it for this claim."""
    text = ClaimText("", 0, len(claim), claim)
    plan = plan_pairs([text], [Source("", "", evidence)], 2)
    return joined_text(plan.pairs[0][1]) if plan.pairs else evidence


def support_row(row: Mapping[str, Any], rng: random.Random) -> SupportRow:
    """A row of a hallucination file, as one claim."""
    call = str(row["context"])[:64]
    response = data.redacted(str(row["response"]), call)
    spans = claim_spans(response)
    claim = " ".join(response.split()[:CLAIM_WORDS])
    if len(spans) > 1 and not row["label"]:
        span = rng.choice(spans)
        claim = " ".join(response[span.start : span.end].split())
    question = data.redacted(str(row.get("question") or ""), call)
    if question and (len(response.split()) <= SHORT_ANSWER_WORDS or rng.random() < QUESTIONED):
        claim = with_question(question, claim)
    evidence = paired(claim, data.redacted(str(row["context"]), call))
    return SupportRow(claim, evidence, int(row["label"]), row["source"])


def _held_out(row: Mapping[str, Any]) -> bool:
    """By evidence, so that no passage is on both sides."""
    return data.held_out(row["context"])


def _from_case(case: Case, source: str) -> SupportRow:
    call = case.evidence[:64]
    claim, evidence = data.redacted(case.claim, call), data.redacted(case.evidence, call)
    return SupportRow(claim, paired(claim, evidence), case.label, source)


def hidden(row: SupportRow, rng: random.Random, share: float = 1.0) -> SupportRow:
    """One word that claim and evidence share as the same placeholder on both sides, in a share of
    the rows."""
    shared = [w for w in row.claim.split() if len(w) > 3 and f" {w} " in f" {row.evidence} "]
    if not shared or rng.random() > share:
        return row
    word, mark = rng.choice(shared), placeholder(rng)
    hide = lambda text: " ".join(mark if w == word else w for w in text.split())  # noqa: E731
    return SupportRow(hide(row.claim), hide(row.evidence), row.label, row.source)


def _passages(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    long = (r["context"] for r in rows if r["source"] not in MNLI_ETC)
    return [c for c in dict.fromkeys(long) if len(c.split()) >= 25]


def training_rows(folder: Path) -> list[SupportRow]:
    """Everything the support model is trained on, in a seeded order."""
    rng = random.Random(f"{data.SEED}:support")
    public = data.read(folder / "train" / "hallucination.jsonl.gz")
    public = [r for r in public if not _held_out(r)]
    passages = _passages(public)
    rng.shuffle(public)
    left = Counter(LIMITS)
    rows = []
    for r in public:
        source = r["source"]
        if source.startswith(_SKIP) or (source in LIMITS and not left[source]):
            continue
        left[source] -= 1
        rows.append(support_row(r, rng))
    rows += [_from_case(c, "written:claims") for c in claims.cases(passages, WRITTEN_CLAIMS, rng)]
    rows += [_from_case(c, "written:facts") for c in facts.cases(WRITTEN_FACTS, rng)]
    rng.shuffle(rows)
    return [hidden(row, rng, PLACEHOLDERS) for row in rows]


def dev_rows(folder: Path) -> list[SupportRow]:
    """The dev file, one claim a row."""
    rng = random.Random(f"{data.SEED}:support dev")
    return [support_row(r, rng) for r in data.read(folder / "dev" / "hallucination.jsonl.gz")]


def supported_pool(folder: Path, count: int) -> list[SupportRow]:
    """Supported claims that training never saw: held-out and dev rows, filled up with sentences of
    held-out passages."""
    rng = random.Random(f"{data.SEED}:pool")
    train = data.read(folder / "train" / "hallucination.jsonl.gz")
    rows = [r for r in train if _held_out(r)] + data.read(folder / "dev" / "hallucination.jsonl.gz")
    found = [support_row(r, rng) for r in rows if r["label"] == 0]
    more = claims.cases(_passages(rows), 3 * count, rng)
    found += [_from_case(c, "written:claims") for c in more if c.label == 0][: count - len(found)]
    return found
