"""A short run of the fuzzer of the gateway; ``python -m tests.fuzz.gateway`` runs more."""

from pathlib import Path

from tests.fuzz.gateway import fuzz

RUNS = 2000


async def test_damaged_requests_are_answered_and_counted(tmp_path: Path) -> None:
    tally = await fuzz(tmp_path, RUNS, seed=1)
    assert tally.problems == []
    assert tally.answers.total() == RUNS
    for answer in ("http 200", "http 400", "http 415", "grpc OK", "grpc INVALID_ARGUMENT"):
        assert tally.answers[answer] > 0, tally.answers
