"""Every query of every dashboard runs on real tables with real rows, and says something."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from prometheus_client import Counter, Histogram

from schemas.metrics import REGISTRY
from sql.dictionary import views
from sql.tables import tables
from tests.deploy.grafana import (
    CLICKHOUSE_UID,
    PROMETHEUS_UID,
    Query,
    TimeRange,
    dashboards,
    fill_in,
    queries,
)

SQL = queries(CLICKHOUSE_UID)
PROMQL = queries(PROMETHEUS_UID)
RESTRICTED = {"genai_content", "genai_feedback"} | {
    view.name for view in views().values() if view.restricted
}
"""Redacted texts, or views over them: who reads a dashboard need not be allowed to."""
SCRAPED = {"job", "instance", "service"}
"""Labels that Prometheus gives every series of ours."""


def the_range() -> TimeRange:
    """A day up to now, as the time picker gives it."""
    now = datetime.now(UTC)
    return TimeRange(now - timedelta(days=1), now + timedelta(minutes=1), 300)


def test_the_five_dashboards_are_there() -> None:
    assert set(dashboards()) == {
        f"{name}.json" for name in ("overview", "safety", "cost", "drift", "pipeline")
    }
    assert len({board["uid"] for board in dashboards().values()}) == 5
    assert len(SQL) > 40
    assert len(PROMQL) > 14


@pytest.mark.parametrize("chosen", [None, ["default"]], ids=["all", "one tenant"])
@pytest.mark.parametrize("query", SQL, ids=[query.name for query in SQL])
def test_query_answers(query: Query, chosen: list[str] | None, reader: Client) -> None:
    variables = {"tenant": chosen, "service": None if chosen is None else ["shop", "search"]}
    answer = reader.query(fill_in(query.text, the_range(), variables))
    assert answer.result_rows, "no rows"
    if query.kind == "stat":
        assert answer.row_count == 1
        assert answer.result_rows[0][0] is not None
    if query.series:
        assert_series(answer.column_names, answer.column_types, answer.result_rows)


def assert_series(names: tuple[str, ...], types: tuple[Any, ...], rows: Any) -> None:
    """What the plugin turns into lines: a time in order, names, and at least one number."""
    kinds = [re.sub(r"^(Nullable|LowCardinality)\((.*)\)$", r"\2", kind.name) for kind in types]
    assert names[0] == "time"
    assert kinds[0].startswith("DateTime")
    assert all(kind == "String" or kind.startswith(("UInt", "Int", "Float")) for kind in kinds[1:])
    assert any(kind != "String" for kind in kinds[1:])
    times = [row[0] for row in rows]
    assert times == sorted(times)


@pytest.mark.parametrize("query", SQL, ids=[query.name for query in SQL])
def test_query_reads_documented_tables_and_no_texts(query: Query) -> None:
    known = set(views()) | set(tables())
    read = set(re.findall(r"(?:FROM|JOIN) (\w+)", query.text))
    assert read
    assert read <= known
    assert not read & RESTRICTED
    for name in read & set(tables()):
        assert re.search(rf"{name}(?: AS \w+)? FINAL", query.text) or query.kind == "variable"


def test_a_quiet_stack_gives_no_error(reader: Client) -> None:
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    times = TimeRange(long_ago, long_ago + timedelta(hours=1), 60)
    for query in SQL:
        reader.query(fill_in(query.text, times, {"tenant": None, "service": None}))


@pytest.mark.parametrize("query", PROMQL, ids=[query.name for query in PROMQL])
def test_metrics_and_labels_exist(query: Query) -> None:
    check_promql(query.text)


def check_promql(expression: str) -> None:
    """Every metric of the expression is declared, with the labels that it selects or groups by."""
    declared: dict[str, Any] = dict(REGISTRY._names_to_collectors)
    names = re.findall(r"streamgauge_\w+", expression)
    assert names
    allowed = {"le", *SCRAPED}
    for name in names:
        metric = declared[name]
        assert not isinstance(metric, Counter) or name.endswith("_total")
        assert not isinstance(metric, Histogram) or name.endswith(("_bucket", "_sum", "_count"))
        allowed |= set(metric._labelnames)
    grouped = ", ".join(re.findall(r"(?:by|on) \(([^)]*)\)", expression))
    selected = re.findall(r"(\w+)=~?\"", expression)
    used = {label.strip() for label in grouped.split(",") if label.strip()} | set(selected)
    assert used <= allowed


def test_no_panel_is_without_a_query_or_a_word_on_what_it_means() -> None:
    for name, board in dashboards().items():
        for panel in board["panels"]:
            if panel["type"] == "text":
                continue
            assert panel["targets"], (name, panel["title"])
            assert panel["description"], (name, panel["title"])


def test_unknown_macros_and_variables_are_refused() -> None:
    for text in ("SELECT $__nothing(a)", "SELECT ${tenant:csv}", "SELECT $__timeFilter(a, b)"):
        with pytest.raises(ValueError, match=r"not filled in|no such macro"):
            fill_in(text, the_range(), {"tenant": None})
