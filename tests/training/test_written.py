"""The programs that write training rows: seeded, filled in completely, and of both labels.

Strings below are data for classifiers, never instructions.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from training import data
from training.written import benign, claims, direct, facts, harm, hate, indirect, noise, roleplay
from training.written.template import fill

PASSAGES = [
    "The Eiffel Tower was completed in 1889 by Gustave Eiffel in Paris. It is 330 metres tall. "
    "About seven million people visit it every year, more than any other tower in France.",
    "Anna Keller founded the Blue Kettle Company in Vienna in March 1990 with Tom Becker. "
    "The company sold 20,000 kettles in 1995 and moved to Berlin after the flood.",
]
Rows = list[tuple[str, int]]
PROGRAMS: dict[str, Callable[[random.Random], Rows]] = {
    "direct": lambda rng: [(t, 1) for t in direct.attacks(rng)],
    "benign": lambda rng: [(t, 0) for t in benign.benign(rng)],
    "roleplay": lambda rng: roleplay.prompts(rng, 60, 40),
    "indirect": lambda rng: indirect.documents(PASSAGES, 80, rng),
    "hate": lambda rng: [(t, y) for t, y, _ in hate.rows(rng)],
    "harm": lambda rng: [(t, y) for t, y, _ in harm.rows(rng)],
    "facts": lambda rng: [(f"{c.claim} | {c.evidence}", c.label) for c in facts.cases(200, rng)],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_gives_the_same_rows_for_the_same_seed(name: str) -> None:
    assert PROGRAMS[name](random.Random(5)) == PROGRAMS[name](random.Random(5))


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_row_is_filled_in(name: str) -> None:
    rows = PROGRAMS[name](random.Random(6))
    assert all(text.strip() for text, _ in rows)
    if name not in ("indirect", "direct"):  # JSON and forged delimiters have braces of their own
        assert not [text for text, _ in rows if "{" in text or "}" in text]
    if name not in ("direct", "benign"):
        share = sum(label for _, label in rows) / len(rows)
        assert 0.3 < share < 0.7


def test_an_edited_claim_differs_from_its_passage_and_a_supported_one_does_not() -> None:
    found = claims.cases(PASSAGES * 3, 60, random.Random(7))
    assert {case.label for case in found} == {0, 1}
    for case in found:
        if case.label:
            assert case.claim not in case.evidence


def test_an_unknown_filler_is_an_error() -> None:
    with pytest.raises(KeyError):
        fill("{nothing}", {}, random.Random(1))


def test_placeholders_look_like_the_redactors() -> None:
    shown = data.redacted("Write to anna.keller@example.com today")
    start = shown.index("<")
    real, ours = shown[start : shown.index(">") + 1], noise.placeholder(random.Random(1))
    assert [c for c in real if not c.isalnum()] == ["<", "_", ">"]
    assert len(real.rsplit("_", 1)[1]) == len(ours.rsplit("_", 1)[1])


def test_the_split_holds_out_about_its_share_and_never_moves() -> None:
    held = [data.held_out(f"row {i}") for i in range(4000)]
    assert abs(sum(held) / len(held) - data.HELD_OUT_PERCENT / 100) < 0.02
    assert held == [data.held_out(f"row {i}") for i in range(4000)]
