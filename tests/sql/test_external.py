"""Evaluations that applications sent: joined by span or response, once, never among ours."""

from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse import ClickHouseSink
from processors.store.rows import Row, evaluation_row, operation_row
from schemas.evaluators import State
from schemas.identity import evaluation_revision
from tests.sql.records import NOW_NS, call, evaluation, operation, span, trace
from tests.sql.test_views import put, rows_of

COLUMNS = (
    "evaluator, trace_id, span_id, joined_by, reported_score, reported_label, service_name, model"
)


def external(tenant: str, trace_number: int, span_number: int, **fields: Any) -> Row:
    """An external evaluation as the operations stage makes it."""
    at_ns = fields.pop("at_ns", NOW_NS)
    usual: dict[str, Any] = {
        "tenant": tenant,
        "evaluator": "Relevance",
        "model_version": "external",
        "source": "external",
        "score": None,
        "reported_score": 4.0,
        "reported_label": "relevant",
        "service_name": "judge",
        "model": "",
        "scored_at_ns": at_ns,
        "revision": evaluation_revision(State.OK, 0, at_ns),
    }
    return evaluation_row(evaluation(trace_number, span_number, **{**usual, **fields}))


async def test_results_find_their_call(sink: ClickHouseSink, client: Client) -> None:
    tenant = "external-joined"
    inner = operation(80, 1, tenant=tenant, call=call(response_id="resp-80"))
    wrapper = operation(
        80, 2, tenant=tenant, duplicate_of=span(1), call=call(response_id="resp-80")
    )
    await put(sink, "genai_operations", *map(operation_row, (wrapper, inner)))
    await put(
        sink,
        "genai_evaluations",
        external(tenant, 80, 2),
        external(tenant, 81, 9, evaluator="Fluency", response_id="resp-80"),
        external(tenant, 82, 9, evaluator="Lost", response_id="resp-unknown"),
    )
    found = rows_of(
        client,
        f"SELECT {COLUMNS} FROM v_external_evaluations WHERE tenant = {{t:String}} "  # noqa: S608
        "ORDER BY evaluator",
        t=tenant,
    )
    told = (4.0, "relevant")
    known = ("shop", "gpt-4o-2024")
    assert found == [
        ("Fluency", trace(80), span(1), "response", *told, *known),
        ("Lost", trace(82), span(9), "none", *told, "judge", ""),
        ("Relevance", trace(80), span(1), "span", *told, *known),
    ]


@pytest.mark.parametrize("newest_first", [False, True])
async def test_of_several_results_for_a_call_the_newest_shows(
    sink: ClickHouseSink, client: Client, newest_first: bool
) -> None:
    tenant = f"external-newest-{newest_first}"
    one = operation(83, 1, tenant=tenant, call=call(response_id="resp-83"))
    await put(sink, "genai_operations", operation_row(one))
    old = external(tenant, 83, 1, at_ns=NOW_NS - 1_000_000_000)
    repeated = external(tenant, 83, 1, reported_score=2.0)
    elsewhere = external(
        tenant, 84, 5, reported_score=1.0, response_id="resp-83", at_ns=NOW_NS + 1_000_000_000
    )
    rows = [old, repeated, repeated, elsewhere]
    await put(sink, "genai_evaluations", *(rows[::-1] if newest_first else rows))
    assert rows_of(
        client,
        "SELECT span_id, reported_score FROM v_external_evaluations WHERE tenant = {t:String}",
        t=tenant,
    ) == [(span(1), 1.0)]


async def test_one_with_the_name_of_ours_is_not_among_our_verdicts(
    sink: ClickHouseSink, client: Client
) -> None:
    tenant = "external-named-as-ours"
    await put(sink, "genai_operations", operation_row(operation(85, 1, tenant=tenant)))
    ours = evaluation(85, 1, tenant=tenant, evaluator="toxicity", score=0.1)
    await put(
        sink,
        "genai_evaluations",
        evaluation_row(ours),
        external(tenant, 85, 1, evaluator="toxicity", reported_score=0.9),
    )
    for query, expected in (
        ("SELECT score FROM v_verdicts WHERE tenant = {t:String}", [(0.1,)]),
        ("SELECT toxicity_score FROM v_calls WHERE tenant = {t:String}", [(0.1,)]),
        ("SELECT scored FROM v_coverage WHERE tenant = {t:String}", [(1,)]),
        ("SELECT reported_score FROM v_external_evaluations WHERE tenant = {t:String}", [(0.9,)]),
    ):
        assert rows_of(client, query, t=tenant) == expected, query
