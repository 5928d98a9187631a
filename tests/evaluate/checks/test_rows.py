"""Rows of checks on the stage: identity, versions, revisions, and which rows there are at all."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from processors.evaluate.checks.registry import CHECKS
from processors.evaluate.checks.run import Checks
from processors.evaluate.context import prepare
from processors.evaluate.deployed import DeployedModels
from schemas.config import PACKAGE_ROOT
from schemas.evaluators import (
    CHECK_EVALUATORS,
    EVERY_CALL,
    Evaluator,
    Label,
    Reason,
    State,
    Target,
)
from schemas.intervals import SHIPPED, Interval, Intervals, load_intervals
from schemas.records import Operation, Usage
from schemas.strict_yaml import StrictYamlError
from tests.evaluate.checks.measuring import chat
from tests.evaluate.samples import TINY, operation, tiny_config
from tests.evaluate.test_stage import Harness, identity, pick

QUESTION = "Can I return the tent that I bought from you three weeks ago?"
ANSWER = (
    "Yes, you can return the tent within thirty days of its delivery, as long as it is clean and "
    "dry. Pack it with its pegs, print the label that we sent you by mail, and hand the parcel in "
    "at any post office. We refund the price when it has reached our warehouse."
)
FACTS = {
    "usage": Usage(input_tokens=20, output_tokens=60), "finish_reasons": ("stop",),
    "start_ns": 1, "end_ns": 3_000_000_001,
}  # fmt: skip


@pytest.fixture
async def tiny() -> AsyncIterator[Harness]:
    """The stage with the tiny model."""
    harness = Harness(tiny_config())
    yield harness
    await harness.close()


def plain(**changes: object) -> Operation:
    """A call with instructions and figures."""
    return chat(QUESTION, ANSWER, "Be kind. " * 10, call=FACTS, **changes)


def checks_of(rows: object) -> set[str]:
    return {str(row.evaluator) for row in rows if row.evaluator in CHECK_EVALUATORS}  # type: ignore[attr-defined]


async def test_an_ordinary_call_has_a_row_of_each_check_that_applies(tiny: Harness) -> None:
    rows = await tiny.tell(plain())
    assert checks_of(rows) == {
        "refusal", "language", "repetition", "prompt_leak", "unsafe_output", "leaked", "length",
        "time_per_token", "finish_reason",
    }  # fmt: skip
    for row in rows:
        if row.evaluator in CHECK_EVALUATORS:
            assert (row.target, row.state, row.label) == (Target.OPERATION, State.OK, Label.PASS)
            assert row.evaluator_model == "checks"
            assert row.model_version == CHECKS[Evaluator(row.evaluator)].version
            assert row.threshold_version == load_intervals().of(Evaluator(row.evaluator)).version
            assert row.score is not None
            assert row.measured is not None
    assert pick(rows, Evaluator.TIME_PER_TOKEN).measured == 50.0
    assert pick(rows, Evaluator.LANGUAGE).explanation.entities == ("input:en", "output:en")


async def test_what_does_not_apply_has_no_row(tiny: Harness) -> None:
    tool = operation(call={"kind": "execute_tool", "content_state": "not_captured"})
    assert checks_of(await tiny.tell(tool)) == {"tool_failure"}
    agent = operation(call={"kind": "invoke_agent"}, span_id="1" * 16, user="Hi", answer=ANSWER)
    rows = await tiny.tell(agent)
    assert checks_of(rows) == set()
    assert {row.evaluator for row in rows} == set(EVERY_CALL)


async def test_content_that_comes_late_is_judged_then_and_once(tiny: Harness) -> None:
    """The log record with the content comes after the span; both come again, in any order."""
    bare = plain(fragments=("00000000000000aa",)).model_copy(
        update={"content": operation().content}
    )
    whole = plain(fragments=("00000000000000aa", "00000000000000bb"))
    first = await tiny.tell(bare)
    assert checks_of(first) == {"time_per_token", "finish_reason"}
    second = await tiny.tell(whole)
    assert checks_of(second) > checks_of(first)
    for evaluator in (Evaluator.TIME_PER_TOKEN, Evaluator.FINISH_REASON):
        before, after = pick(first, evaluator), pick(second, evaluator)
        assert identity(before) == identity(after)
        assert after.revision > before.revision
    assert await tiny.tell(bare) == []
    assert await tiny.tell(whole) == []


async def test_a_flagged_answer_is_explained_by_place(tiny: Harness) -> None:
    answer = "Of course. [Open](javascript:alert(1)) it."
    row = pick(await tiny.tell(chat("Hi", answer)), Evaluator.UNSAFE_OUTPUT)
    assert (row.label, row.score) == (Label.PAGE, 1.0)
    place = row.explanation
    assert answer[place.start : place.end].startswith("](javascript:")
    assert place.entities == ("script_address",)


def test_a_check_that_breaks_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_: object) -> None:
        raise ZeroDivisionError

    broken = CHECKS[Evaluator.REFUSAL]._replace(measure=breaks)
    monkeypatch.setitem(CHECKS, Evaluator.REFUSAL, broken)
    call = plain()
    found = Checks(load_intervals()).verdicts(call, prepare(call, 1000, 1), CHECK_EVALUATORS, 1000)
    (failed,) = found[Evaluator.REFUSAL]
    assert (failed.state, failed.reason) == (State.FAILED, Reason.MODEL_ERROR)
    assert found[Evaluator.LENGTH][0].state is State.OK


def test_a_text_that_was_cut_is_marked() -> None:
    call = plain()
    checks = Checks(load_intervals())
    (row,) = checks.verdicts(call, prepare(call, 50, 1), [Evaluator.REFUSAL], 50)[Evaluator.REFUSAL]
    assert row.truncated


# --- safe intervals ------------------------------------------------------------------------------


def test_every_evaluation_by_rules_has_an_interval_with_a_reason() -> None:
    for interval in load_intervals().intervals.values():
        assert interval.measures
        assert interval.why
        assert interval.version


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (-6, "page"),
        (-5, "warn"),
        (-1, "warn"),
        (0, "pass"),
        (3, "pass"),
        (3.5, "warn"),
        (9, "page"),
    ],
)
def test_bounds_belong_to_the_interval(value: float, label: str) -> None:
    interval = Interval(
        measures="x", direction="both", min=0, max=3, page_min=-5, page_max=8, why="test"
    )
    assert interval.label(value) == label


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  refusal:\n", "  refusel:\n", "intervals.refusel"),
        ("    max: 0.75\n", "    maxi: 0.75\n", "refusal.maxi: unknown key; did you mean max?"),
        ("    max: 0.75\n", "    max: high\n", "refusal.max: Input should be a valid number"),
        ("    max: 0.75\n", "    min: 0.75\n", "intervals.refusal: direction high takes max"),
        ("    min: 15\n", "    min: 75\n", "intervals.readability: page_min <= min <= max"),
        ("    direction: both\n", "    direction: up\n", "intervals.readability.direction: "),
    ],
)  # fmt: skip
async def test_a_wrong_file_stops_the_stage_by_line_and_key(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    text = SHIPPED.read_text()
    path = tmp_path / "intervals.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(StrictYamlError) as error:
        DeployedModels(TINY.model_copy(update={"intervals_file": path}))
    assert str(error.value).startswith(f"{path}:")
    assert said in str(error.value)


def test_a_file_must_be_whole_and_leave_models_alone(tmp_path: Path) -> None:
    path = tmp_path / "intervals.yaml"
    one = "  {}:\n    measures: x\n    direction: high\n    max: 0\n    why: y\n"
    path.write_text("intervals:\n" + one.format("pii"))
    with pytest.raises(StrictYamlError, match="intervals: missing: finish_reason"):
        load_intervals(path)
    path.write_text(SHIPPED.read_text() + one.format("toxicity"))
    with pytest.raises(StrictYamlError, match=r"intervals.toxicity: its thresholds stand in"):
        load_intervals(path)


async def test_an_own_interval_moves_the_label_and_its_version(tmp_path: Path) -> None:
    path = tmp_path / "intervals.yaml"
    path.write_text(
        SHIPPED.read_text().replace("    min: 1\n    max: 40000", "    min: 1\n    max: 9")
    )
    harness = Harness(tiny_config(intervals_file=path))
    row = pick(await harness.tell(plain()), Evaluator.LENGTH)
    assert (row.label, row.threshold_version) == (Label.WARN, "min=1,max=9")
    await harness.close()


def test_intervals_can_be_asked_by_evaluator() -> None:
    read: Intervals = load_intervals()
    assert read.of(Evaluator.TOOL_FAILURE).max == 0


def test_the_page_names_every_check() -> None:
    page = (PACKAGE_ROOT / "docs" / "evaluations.md").read_text(encoding="utf-8")
    assert all(f"| `{evaluator}` |" in page for evaluator in CHECK_EVALUATORS)
