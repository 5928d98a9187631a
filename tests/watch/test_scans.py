"""Shorthand rules over real windows: what holds, what is unknown, what one scan serves."""

import time
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from processors.watch.scans import Scans, findings
from processors.watch.timed_alerts import Found, LabelSet, Said, label_set
from processors.watch.view_reader import ViewReader
from schemas.config import ClickHouseConfig, Config
from schemas.rules import AbsentRule, DriftRule, MetricRule, SloRule, StreamRule
from schemas.streams import BUCKET_S
from sql.client import connect
from sql.migrate import migrate
from sql.windows import bucket_of
from stack.clickhouse.process import ClickHouse
from tests.watch.stream_windows import DAY_S, every_window, put_windows

AT_S = bucket_of(time.time()) - BUCKET_S
HOUR_S = 3600
GOOD = [0.0] * 10


@pytest.fixture(scope="module")
def config(clickhouse: ClickHouse) -> Config:
    config = Config(
        clickhouse=ClickHouseConfig(
            url=clickhouse.url, token=clickhouse.token, database=f"test_{uuid.uuid4().hex[:12]}"
        )
    )
    migrate(config)
    return config


@pytest.fixture(scope="module")
def client(config: Config) -> Iterator[Client]:
    """Windows of: shop, steady for a week but for the last quarter of an hour; quiet, silent for an
    hour; weekdays, never there a week ago; small, with one value; new, of today."""
    client = connect(config.clickhouse)
    week_s = AT_S - 8 * DAY_S
    errors = [(at, GOOD, 3 if at >= AT_S - 900 else 0) for at in every_window(week_s, AT_S)]
    put_windows(client, "calls.errors", errors)
    usual = [(at, [2e9] * 10, 0) for at in every_window(week_s, AT_S)]
    put_windows(client, "calls.duration_ns", usual)
    put_windows(client, "calls.duration_ns", usual[:-12], service="quiet")
    lately = [window for window in usual[:-12] if window[0] >= AT_S - 5 * DAY_S]
    put_windows(client, "calls.duration_ns", lately, service="weekdays")
    today = [(at, [2e9] * 10, 0) for at in every_window(AT_S - 1800, AT_S - 900)]
    put_windows(client, "calls.duration_ns", today, service="new", first_seen_s=AT_S - 1800)
    slow = [(AT_S - 300, [1e9] * 95 + [30e9] * 5, 0)]
    put_windows(client, "calls.duration_ns", slow, service="slow")
    for version, flagged in (("v1", 5), ("v2", 1), ("shadow", 10)):
        scored = [(AT_S - 300, [0.5] * 10, flagged)]
        put_windows(client, "hallucination", scored, version=version)
    put_windows(client, "hallucination", [(AT_S - 300, [0.9], 1)], service="small", version="v1")
    client.command(
        "INSERT INTO genai_model_deployments (tenant, evaluator, model_version, from_time, day, "
        "revision, mode, to_time) VALUES ('default', 'hallucination', 'shadow', "
        "'2020-01-01 00:00:00', '2020-01-01', 1, 'shadow', '2200-01-01 00:00:00')"
    )
    yield client
    client.close()


def run(client: Client, query: str, given: Any) -> Any:
    return client.query(query, parameters=given).result_rows


def found(client: Client, rule: StreamRule, *open_sets: LabelSet) -> dict[str, Found]:
    """Findings by service."""

    rows = findings(rule, Scans(partial(run, client), [rule], AT_S), set(open_sets))
    return {row.labels["service_name"]: row for row in rows}


def metric(of: str, **changes: Any) -> MetricRule:
    settings = {name: changes.pop(name) for name in ("recovery", "min_samples") if name in changes}
    return MetricRule.model_validate({"alert": "A", "metric": {"of": of, **changes}, **settings})


SHOP = label_set("default", {"service_name": "shop", "environment": "prod"})


@pytest.mark.parametrize(
    ("rule", "service", "value"),
    [
        (metric("calls.errors", above=0.2), "shop", 0.3),
        (metric("calls.errors", above=0.02, over="1h"), "shop", 0.075),
        (metric("calls.errors", statistic="count", above=20), "shop", 30),
        (metric("calls.duration_ns", statistic="mean", above=2.2e9), "slow", 2.45e9),
        (metric("calls.duration_ns", statistic="total", above=200e9), "slow", 245e9),
        (metric("calls.duration_ns", statistic="p99", above=10e9), "slow", 30e9),
        (metric("calls.duration_ns", statistic="p50", below=1.5e9), "slow", 1e9),
        (metric("hallucination", above=0.25, min_samples=10), "shop", 0.3),
    ],
)
def test_a_statistic_beyond_its_limit_holds(
    client: Client, rule: MetricRule, service: str, value: float
) -> None:
    held = {name: row for name, row in found(client, rule).items() if row.said is Said.HOLDS}
    assert set(held) == {service}
    assert held[service].value == pytest.approx(value, rel=0.011)
    assert held[service].tenant == "default"


def test_within_the_limit_nothing_is_told_but_of_open_alerts(client: Client) -> None:
    rule = metric("calls.errors", above=0.5)
    assert found(client, rule) == {}
    assert found(client, rule, SHOP)["shop"].said is Said.CLEAR


def test_between_limit_and_recovery_an_open_alert_recovers(client: Client) -> None:
    rule = metric("calls.errors", above=0.5, recovery=0.1)
    assert found(client, rule, SHOP)["shop"].said is Said.RECOVERING


def test_too_few_values_and_none_at_all_are_unknown(client: Client) -> None:
    rule = metric("hallucination", above=0.1, min_samples=10)
    assert found(client, rule)["small"].said is Said.INSUFFICIENT
    gone = label_set("default", {"service_name": "gone", "environment": "prod"})
    assert found(client, rule, gone)["gone"].said is Said.NO_DATA


def test_matchers_choose_streams(client: Client) -> None:
    rule = metric("calls.duration_ns", statistic="count", above=0, where=['service_name=~"s.*"'])
    assert set(found(client, rule)) == {"shop", "slow"}
    assert not found(client, metric("calls.errors", above=0.2, where=["tenant=other"]))


@pytest.mark.parametrize(
    ("objective", "windows", "burns"),
    [
        (0.99, [{"long": "1h", "short": "5m", "factor": 5}], 7.5),
        (0.99, [{"long": "1h", "short": "5m", "factor": 14.4}], None),
        (0.99, "page", None),
        (0.998, "page", 37.5),
        (0.9999, "ticket", 0.3 * 3 / 864 / 0.0001),
    ],
)
def test_a_budget_burns_over_both_windows(
    client: Client, objective: float, windows: Any, burns: float | None
) -> None:
    rule = SloRule.model_validate(
        {
            "alert": "A",
            "min_samples": 50,
            "slo": {"of": "calls.errors", "objective": objective, "windows": windows},
        }
    )
    held = found(client, rule)
    assert bool(held) is (burns is not None)
    if burns is not None:
        assert held["shop"].value == pytest.approx(burns)


def test_a_burn_that_is_over_does_not_page(client: Client) -> None:
    past = [(at, GOOD, 5 if at < AT_S - 2400 else 0) for at in every_window(AT_S - HOUR_S, AT_S)]
    put_windows(client, "tools.errors", past)
    rule = SloRule.model_validate(
        {"alert": "A", "slo": {"of": "tools.errors", "objective": 0.99, "windows": "page"}}
    )
    assert found(client, rule) == {}


def test_silence_is_told_where_traffic_is_expected(client: Client) -> None:
    rule = AbsentRule.model_validate({"alert": "A", "absent": {"of": "calls.duration_ns"}})
    told = found(client, rule)
    assert {name for name, row in told.items() if row.said is Said.HOLDS} == {"quiet"}
    assert told["quiet"].value == 60
    assert told["new"].said is Said.INSUFFICIENT


@pytest.mark.parametrize(
    ("drift", "of"),
    [
        ({"severity": "page"}, {"calls.errors"}),
        ({"severity": "ticket"}, {"calls.errors", "hallucination"}),
        ({"severity": "ticket", "of": ["hallucination"]}, {"hallucination"}),
        ({"severity": "ticket", "where": ["service_name=other"]}, set()),
    ],
)
def test_drift_is_what_detectors_said_last(client: Client, drift: Any, of: set[str]) -> None:
    for measure, version, severity, state in (
        ("calls.errors", "", "page", "drift"),
        ("hallucination", "v1", "ticket", "drift"),
        ("calls.duration_ns", "", "", "steady"),
    ):
        client.command(
            "INSERT INTO genai_drift (tenant, stream_id, detector, detector_version, bucket, day, "
            "revision, state, severity, n, baseline_n, effect) "
            "SELECT tenant, stream_id, 'rate', '1', now() - 600, today(), 1, "
            "{state:String}, {severity:String}, 100, 1000, 0.5 FROM genai_streams FINAL "
            "WHERE labels['service_name'] = 'shop' AND model_version = {version:String} "
            "AND if(evaluator = '', concat(family, '.', metric), evaluator) = {of:String}",
            parameters={
                "version": version,
                "of": measure,
                "state": state,
                "severity": severity,
            },
        )
    rule = DriftRule.model_validate({"alert": "A", "drift": drift})
    rows = findings(rule, Scans(partial(run, client), [rule], AT_S), set())
    held = [row for row in rows if row.said is Said.HOLDS]
    assert {row.labels["of"] for row in held} == of
    assert {(row.labels["service_name"], row.value, row.n) for row in held} <= {("shop", 0.5, 100)}


def test_the_past_is_judged_by_the_verdicts_of_then(client: Client) -> None:
    for ago_s, state, severity in (
        (3000, "steady", ""),
        (1800, "drift", "page"),
        (600, "steady", ""),
    ):
        client.command(
            "INSERT INTO genai_drift (tenant, stream_id, detector, detector_version, bucket, day, "
            "revision, state, severity, n, baseline_n, effect) "
            "SELECT tenant, stream_id, 'rate', '1', fromUnixTimestamp({bucket:UInt32}), "
            "toDate(fromUnixTimestamp({bucket:UInt32})), ({bucket:UInt64} + 420) * 1000000000, "
            "{state:String}, {severity:String}, 100, 1000, 0.5 FROM genai_streams FINAL "
            "WHERE labels['service_name'] = 'quiet'",
            parameters={"bucket": AT_S - ago_s, "state": state, "severity": severity},
        )
    where = ["service_name=quiet"]
    rule = DriftRule.model_validate({"alert": "A", "drift": {"severity": "page", "where": where}})
    held = {}
    for ago_s in (2000, 1400, 1370, 300, 180, 0):
        rows = findings(rule, Scans(partial(run, client), [rule], AT_S - ago_s), set())
        held[ago_s] = [row.labels["service_name"] for row in rows if row.said is Said.HOLDS]
    quiet = ["quiet"]
    assert held == {2000: [], 1400: [], 1370: quiet, 300: quiet, 180: [], 0: []}


def test_rules_of_a_time_share_a_scan(client: Client) -> None:
    asked = []

    def counted(query: str, given: Any) -> Any:
        asked.append(query)
        return run(client, query, given)

    rules = [metric("calls.errors", above=limit / 100) for limit in range(100)]
    rules += [metric("hallucination", above=0.1), metric("tools.errors", above=0.1)]
    scans = Scans(counted, rules, AT_S)
    held = sum(bool(findings(rule, scans, set())) for rule in rules)
    assert held >= 30
    assert len(asked) == 1


async def test_the_reader_scans(config: Config, client: Client) -> None:
    reader = ViewReader(config)
    rule = metric("calls.errors", above=0.2)
    client.command("SELECT 1")
    ((row,),) = await reader.scan([(rule, set())], AT_S * 1_000_000_000)
    assert row.labels == {"service_name": "shop", "environment": "prod"}
    reader.close()
