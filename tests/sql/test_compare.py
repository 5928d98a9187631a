"""Feedback, versions and comparisons: late and repeated rows never count twice."""

import math

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse import ClickHouseSink
from processors.store.rows import Row, evaluation_row, operation_row
from schemas.evaluators import Label
from schemas.identity import NS_PER_DAY, NS_PER_S
from tests.sql.records import (
    NOW_NS,
    START_NS,
    call,
    evaluation,
    feedback,
    operation,
    span,
    trace,
)
from tests.sql.test_views import put, rows_of

FAR_NS = 7_258_118_400_000_000_000
Z = 1.96


def wilson(k: int, n: int) -> tuple[float, float]:
    """The 95% Wilson interval, from its textbook form."""
    p, z2 = k / n, Z * Z
    half = Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return (p + z2 / (2 * n) - half) / (1 + z2 / n), (p + z2 / (2 * n) + half) / (1 + z2 / n)


def deployed(tenant: str, version: str, mode: str, from_ns: int, to_ns: int) -> Row:
    return (tenant, "injection", version, from_ns, 0, 1, mode, to_ns)


def verdict(tenant: str, number: int, version: str, flagged: bool, **fields: object) -> Row:
    label, score = (Label.PAGE, 0.9) if flagged else (Label.PASS, 0.1)
    return evaluation_row(
        evaluation(
            number, 1, tenant=tenant, model_version=version, label=label, score=score, **fields
        )
    )


@pytest.mark.parametrize("newest_first", [False, True])
async def test_repeated_feedback_replaces_even_on_another_day(
    sink: ClickHouseSink, client: Client, newest_first: bool
) -> None:
    tenant = f"feedback-{newest_first}"
    old = feedback("f1", tenant=tenant, label="incorrect", created_at_ns=NOW_NS - NS_PER_DAY)
    new = feedback("f1", tenant=tenant, label="correct")
    await put(sink, "genai_feedback", *([new, old, new] if newest_first else [old, old, new]))
    assert rows_of(
        client, "SELECT label, found FROM v_feedback WHERE tenant = {t:String}", t=tenant
    ) == [("correct", False)]


async def test_feedback_finds_its_call_by_span_or_response(
    sink: ClickHouseSink, client: Client
) -> None:
    tenant = "found"
    inner = operation(70, 1, tenant=tenant, call=call(response_id="resp-1"))
    wrapper = operation(70, 2, tenant=tenant, duplicate_of=span(1), call=call(response_id="resp-1"))
    agent = operation(70, 3, tenant=tenant, call=call(kind="invoke_agent", response_id="resp-1"))
    await put(sink, "genai_operations", *map(operation_row, (wrapper, inner, agent, inner)))
    of_trace = {"tenant": tenant, "trace_id": trace(70)}
    nowhere = {"tenant": tenant, "trace_id": "", "span_id": ""}
    await put(
        sink,
        "genai_feedback",
        feedback("by-span", span_id=span(1), **of_trace),
        feedback("by-wrapper", span_id=span(2), **of_trace),
        feedback("by-response", target="operation", response_id="resp-1", **nowhere),
        feedback("unknown", target="operation", response_id="resp-2", **nowhere),
    )
    found = rows_of(
        client,
        "SELECT feedback_id, trace_id, span_id, found, service_name, conversation_id "
        "FROM v_feedback WHERE tenant = {t:String} ORDER BY feedback_id",
        t=tenant,
    )
    known = (trace(70), span(1), True, "shop", "c1")
    assert found == [
        ("by-response", *known),
        ("by-span", *known),
        ("by-wrapper", *known),
        ("unknown", "", "", False, "", ""),
    ]


async def test_quality_takes_a_majority_a_call_and_judges_shadows_by_it(
    sink: ClickHouseSink, client: Client
) -> None:
    tenant = "quality"
    await put(sink, "genai_model_deployments", deployed(tenant, "shadow", "shadow", 0, FAR_NS))
    # Call by call: does the active version flag it, does the shadow, and what do people say?
    cases = [
        (True, True, ["correct", "correct", "incorrect"]),
        (True, False, ["incorrect"]),
        (False, True, ["incorrect"]),
        (False, False, ["correct"]),
        (True, True, ["correct", "incorrect"]),
        (True, True, []),
    ]
    operations, verdicts, labels = [], [], []
    for number, (active, shadow, said) in enumerate(cases, 80):
        operations.append(operation_row(operation(number, 1, tenant=tenant)))
        verdicts.append(verdict(tenant, number, "active", active))
        verdicts.append(verdict(tenant, number, "shadow", shadow))
        labels += [
            feedback(f"{number}-{who}", tenant=tenant, trace_id=trace(number), label=label)
            for who, label in enumerate(said)
        ]
    await put(sink, "genai_operations", *operations)
    await put(sink, "genai_evaluations", *verdicts, *verdicts)
    await put(sink, "genai_feedback", *labels, *labels)
    found = rows_of(
        client,
        "SELECT model_version, labelled, disputed, true_positives, false_positives, "
        "false_negatives, true_negatives, precision, recall, precision_low, recall_high "
        "FROM v_evaluator_quality WHERE tenant = {t:String} ORDER BY model_version",
        t=tenant,
    )
    assert [row[:9] for row in found] == [
        ("active", 4, 1, 1, 1, 1, 1, 0.5, 0.5),
        ("shadow", 4, 1, 2, 0, 0, 2, 1.0, 1.0),
    ]
    low, high = wilson(1, 2)
    assert found[0][9:] == (pytest.approx(low), pytest.approx(high))


async def test_versions_count_calls_once_and_know_their_mode(
    sink: ClickHouseSink, client: Client
) -> None:
    tenant = "versions"
    await put(
        sink,
        "genai_model_deployments",
        deployed(tenant, "next", "shadow", 0, FAR_NS),
        deployed(tenant, "past", "active", 0, START_NS),
        deployed(tenant, "never", "active", 0, FAR_NS),
    )
    late = operation(92, 1, tenant=tenant, duplicate_of=span(9), fragments=("0a", "0b"))
    await put(sink, "genai_operations", operation_row(operation(92, 1, tenant=tenant)))
    await put(sink, "genai_operations", operation_row(late))
    rows = [
        verdict(tenant, number, version, number == 90)
        for number in (90, 91, 92)
        for version in ("next", "past", "usual")
    ]
    await put(sink, "genai_evaluations", *rows, *rows)
    found = rows_of(
        client,
        "SELECT model_version, mode, judged, scored, flagged, flagged_rate, flagged_rate_low, "
        "flagged_rate_high FROM v_model_versions WHERE tenant = {t:String} ORDER BY model_version",
        t=tenant,
    )
    low, high = wilson(1, 2)
    counted = (2, 2, 1, 0.5, pytest.approx(low), pytest.approx(high))
    assert found == [
        ("never", "active", 0, 0, 0, None, None, None),
        ("next", "shadow", *counted),
        ("past", "retired", *counted),
        ("usual", "active", *counted),
    ]


async def test_models_and_releases_are_compared_with_intervals(
    sink: ClickHouseSink, client: Client
) -> None:
    tenant = "compare"
    rows, verdicts = [], []
    for number in range(100, 140):
        newer = number >= 120
        start_ns = START_NS + number * NS_PER_S // 1000
        said = call(
            response_model="new" if newer else "old",
            service_version="2" if newer else "1",
            prompt_name="greet",
            prompt_version="b" if newer else "a",
            start_ns=start_ns,
            end_ns=start_ns + (2 + number % 2) * NS_PER_S,
            status="error" if newer and number % 2 else "ok",
        )
        rows.append(operation_row(operation(number, 1, tenant=tenant, call=said)))
        verdicts.append(verdict(tenant, number, "v1", flagged=newer and number % 4 == 0))
    rows.append(operation_row(operation(140, 1, tenant=tenant, duplicate_of=span(2))))
    await sink.insert("genai_operations", rows)
    await sink.insert("genai_operations", rows)
    await sink.insert("genai_evaluations", verdicts)
    await sink.insert("genai_evaluations", verdicts)
    found = rows_of(
        client,
        "SELECT dimension, subject, a, b, metric, n_a, n_b, value_a, value_b, a_high, b_low, "
        "difference_low, difference_high, differs FROM v_compare WHERE tenant = {t:String} "
        "AND metric IN ('error_rate', 'duration_ms', 'flagged_rate') ORDER BY metric, dimension",
        t=tenant,
    )
    pairs = {
        "model": ("shop", "old", "new"),
        "prompt_version": ("greet", "a", "b"),
        "release": ("shop", "1", "2"),
    }
    assert {(row[0], *row[1:4]) for row in found} == {(k, *v) for k, v in pairs.items()}
    assert len(found) == 9
    by_metric = {row[4]: row[5:] for row in found}
    errors, old, new = by_metric["error_rate"], wilson(0, 20), wilson(10, 20)
    low = 0.5 - math.sqrt((0.5 - new[0]) ** 2 + old[1] ** 2)
    high = 0.5 + math.sqrt((new[1] - 0.5) ** 2 + (0 - old[0]) ** 2)
    assert errors[:-1] == pytest.approx((20, 20, 0.0, 0.5, old[1], new[0], low, high))
    assert errors[-1] is True
    assert by_metric["flagged_rate"][:4] == (20, 20, 0.0, 0.25)
    durations = by_metric["duration_ms"]
    assert durations[:4] == (20, 20, 2500.0, 2500.0)
    assert durations[-1] is False


async def test_evaluator_versions_are_compared_on_the_same_calls(
    sink: ClickHouseSink, client: Client
) -> None:
    tenant = "agreement"
    await put(sink, "genai_model_deployments", deployed(tenant, "a-shadow", "shadow", 0, FAR_NS))
    flags = [(True, True)] * 2 + [(True, False)] + [(False, True)] * 3 + [(False, False)] * 4
    rows = []
    for number, (active, shadow) in enumerate(flags, 150):
        rows.append(verdict(tenant, number, "b-active", active))
        rows.append(verdict(tenant, number, "a-shadow", shadow))
    rows.append(verdict(tenant, 170, "b-active", True))
    await sink.insert("genai_evaluations", rows)
    await sink.insert("genai_evaluations", rows)
    found = rows_of(
        client,
        "SELECT a, mode_a, b, mode_b, n, both_flagged, only_a, only_b, neither, agreement, kappa, "
        "difference, difference_low, difference_high, length(example_traces) "
        "FROM v_evaluator_agreement WHERE tenant = {t:String}",
        t=tenant,
    )
    half = Z * math.sqrt(4 - 4 / 10) / 10
    chance = 0.3 * 0.5 + 0.7 * 0.5
    assert found == [
        (
            "b-active", "active", "a-shadow", "shadow", 10, 2, 1, 3, 4, 0.6,
            pytest.approx((0.6 - chance) / (1 - chance)),
            pytest.approx(0.2), pytest.approx(0.2 - half), pytest.approx(0.2 + half), 4,
        )
    ]  # fmt: skip
    (unpaired,) = rows_of(
        client,
        "SELECT a, b, n_a, n_b, value_a, value_b FROM v_compare WHERE tenant = {t:String} "
        "AND dimension = 'evaluator_version' AND metric = 'flagged_rate'",
        t=tenant,
    )
    counted = {unpaired[0]: unpaired[2::2], unpaired[1]: unpaired[3::2]}
    assert counted == {
        "a-shadow": (10, 0.5),
        "b-active": (11, pytest.approx(4 / 11)),
    }
