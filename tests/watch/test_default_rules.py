"""The shipped query rules: each fires on its own trouble, and none on a healthy day.

Each tenant of one database has the same traffic (a day, a busy last quarter of an hour) with one
trouble; the rules are asked once, and what holds must be exactly what the trouble calls for.
"""

import asyncio
import re
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse import ClickHouseSink
from processors.runtime.clock import SystemClock
from processors.store.rows import dead_letter_row, evaluation_row, ledger_row, operation_row
from processors.watch.timed_alerts import Said
from processors.watch.view_reader import ViewReader
from schemas.config import ClickHouseConfig, Config
from schemas.dead_letters import encode_headers
from schemas.protocols import DeadLetter, Message
from schemas.records import Evaluation, LedgerRow, Operation
from schemas.rules import DriftRule, QueryRule, load_rules
from schemas.topics import DEAD_LETTERS
from sql.client import connect
from sql.migrate import migrate
from stack.clickhouse.process import ClickHouse
from tests.watch.stream_windows import put_windows
from tests.watch.troubles import AT_NS, MINUTE_NS, SECOND_NS, TROUBLES, rows_of

ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
RULES = load_rules(ROOT / "deploy" / "rules.yaml")
QUERIES = [rule for rule in RULES if isinstance(rule, QueryRule)]
DRIFTS = [rule for rule in RULES if isinstance(rule, DriftRule)]


LEDGER_TENANTS = ("healthy", "books", "late", "gap", "differ", "letterless")


def books(
    tenant: str,
    stage: str,
    age_ns: int = 0,
    offset: int = 0,
    items: tuple[int, int, int] = (5, 5, 0),
) -> LedgerRow:
    """Of a message in the tenant's own partition; items are in, out and dead."""
    items_in, items_out, dead = items
    return LedgerRow(
        tenant=tenant, stage=stage, topic="otlp_spans", partition=LEDGER_TENANTS.index(tenant),
        offset=offset, timestamp_ms=(AT_NS - age_ns) // 1_000_000,
        items_in=items_in, items_out=items_out, filtered=0, dead=dead,
    )  # fmt: skip


def letter(tenant: str) -> Message:
    origin = Message("otlp_spans", 0, 7, AT_NS // 1_000_000, None, b"x")
    dead = DeadLetter(
        origin=origin, stage="operations", reason="undecodable", error_class="OtlpError",
        value=b"x", tenant=tenant,
    )  # fmt: skip
    headers = tuple(encode_headers(dead))
    return Message(DEAD_LETTERS.name, 0, 1, AT_NS // 1_000_000, None, b"x", headers)


LINE_TROUBLES = {
    "books": {"LedgerUnbalanced"},
    "gap": {"LedgerUnbalanced"},
    "differ": {"LedgerUnbalanced"},
    "letterless": {"LedgerUnbalanced"},
    "late": {"DataLate"},
    "dead": {"DeadLetters"},
}


DRIFT_TROUBLES = {
    ("drift", "page"): {"LargeDrift", "Drift"},
    ("drift", "ticket"): {"Drift"},
    ("steady", ""): set[str](),
}
"""By a detector's state and severity."""


def drift_tenant(state: str, severity: str) -> str:
    return f"{state} {severity}".strip()


def plant_drift(client: Client) -> None:
    """A stream of each tenant, and what its detector said ten minutes ago."""
    for state, severity in DRIFT_TROUBLES:
        tenant = drift_tenant(state, severity)
        windows = [(AT_NS // SECOND_NS // 300 * 300 - 600, [0.0] * 10, 5)]
        put_windows(client, "calls.errors", windows, tenant=tenant)
        client.command(
            "INSERT INTO genai_drift (tenant, stream_id, detector, detector_version, bucket, day, "
            "revision, state, severity, n, baseline_n, effect) "
            "SELECT tenant, stream_id, 'rate', '1', now() - 600, toDate(now() - 600), 1, "
            "{state:String}, {severity:String}, 10, 1000, 4.5 "
            "FROM genai_streams FINAL WHERE tenant = {tenant:String}",
            parameters={"tenant": tenant, "state": state, "severity": severity},
        )


async def plant(config: Config) -> None:
    sink = ClickHouseSink(config, SystemClock())
    operations: list[Operation] = []
    verdicts: list[Evaluation] = []
    for tenant, (trouble, _) in TROUBLES.items():
        more, judged = rows_of(tenant, trouble)
        operations += more
        verdicts += judged
    ledger = [
        books("healthy", stage, offset=n) for stage in ("traces", "operations") for n in (7, 8, 9)
    ]
    ledger += [books("books", "traces"), books("books", "operations", items=(5, 3, 0))]
    ledger += [books("gap", "traces", offset=n) for n in (3, 5)]
    ledger += [books("differ", "traces"), books("differ", "operations", items=(4, 4, 0))]
    ledger += [books("letterless", "operations", items=(5, 4, 1))]
    ledger += [books("late", "traces"), books("late", "operations", 20 * MINUTE_NS)]
    await asyncio.gather(
        sink.insert("genai_operations", list(map(operation_row, operations))),
        sink.insert("genai_evaluations", list(map(evaluation_row, verdicts))),
        sink.insert("genai_ledger", list(map(ledger_row, ledger))),
        sink.insert("genai_dead_letters", [dead_letter_row(letter("dead"), "dead")]),
    )
    await sink.close()


@pytest.fixture(scope="module")
def planted(clickhouse: ClickHouse) -> Config:
    config = Config(
        clickhouse=ClickHouseConfig(
            url=clickhouse.url, token=clickhouse.token, database=f"test_{uuid.uuid4().hex[:12]}"
        )
    )
    migrate(config)
    asyncio.run(plant(config))
    return config


@pytest.fixture(scope="module")
def client(planted: Config) -> Iterator[Client]:
    client = connect(planted.clickhouse)
    yield client
    client.close()


@pytest.fixture(scope="module")
def held(planted: Config, client: Client) -> dict[str, set[str]]:
    """Alerts whose condition holds, by tenant."""
    plant_drift(client)
    reader = ViewReader(planted)
    found: dict[str, set[str]] = {}
    for rule in QUERIES:
        # The rows were inserted a moment after AT_NS; the books get their time to come in.
        wait_ns = {"DeadLetters": 0, "LedgerUnbalanced": 16 * MINUTE_NS}.get(rule.alert)
        at_ns = AT_NS if wait_ns is None else time.time_ns() + wait_ns
        for row in asyncio.run(reader.ask(rule, at_ns)):
            found.setdefault(row.tenant, set()).add(rule.alert)
    scanned = asyncio.run(reader.scan([(drift, set()) for drift in DRIFTS], AT_NS))
    for drift, rows in zip(DRIFTS, scanned, strict=True):
        for row in rows:
            if row.said is Said.HOLDS:
                found.setdefault(row.tenant, set()).add(drift.alert)
    reader.close()
    return found


@pytest.mark.parametrize("tenant", [*TROUBLES, *LINE_TROUBLES])
def test_each_trouble_raises_its_alerts_and_no_others(
    tenant: str, held: dict[str, set[str]]
) -> None:
    expected = LINE_TROUBLES[tenant] if tenant in LINE_TROUBLES else TROUBLES[tenant][1]
    assert held.get(tenant, set()) == expected


@pytest.mark.parametrize("judged", DRIFT_TROUBLES, ids=lambda judged: drift_tenant(*judged))
def test_drift_reaches_who_is_on_call(judged: tuple[str, str], held: dict[str, set[str]]) -> None:
    assert held.get(drift_tenant(*judged), set()) == DRIFT_TROUBLES[judged]


def budget_at(planted: Config, at_ns: int, expr: Callable[[str], str] = str) -> dict[str, float]:
    """Spending above the budget, USD by tenant."""
    (rule,) = (rule for rule in QUERIES if rule.alert == "CostBudget")
    reader = ViewReader(planted)
    asked = rule.model_copy(update={"expr": expr(rule.expr)})
    rows = asyncio.run(reader.ask(asked, at_ns))
    reader.close()
    assert all(len(row.trace_ids) == min(row.n or 0, 10) for row in rows)
    return {row.tenant: row.value or 0.0 for row in rows}


def test_a_budget_is_of_its_period_and_of_its_service(planted: Config) -> None:
    tomorrow_ns = (AT_NS // (24 * 60 * MINUTE_NS) + 1) * 24 * 60 * MINUTE_NS
    assert budget_at(planted, tomorrow_ns - SECOND_NS).keys() == {"over budget"}
    assert budget_at(planted, tomorrow_ns) == {}
    own = budget_at(planted, AT_NS, lambda text: text.replace("'a service', 100", "'shop', 1e9"))
    assert own == {}
    month = budget_at(planted, AT_NS, lambda text: text.replace("toDate(", "toStartOfMonth("))
    assert month["over budget"] >= budget_at(planted, AT_NS)["over budget"]


def test_every_timed_rule_has_its_trouble() -> None:
    raised = [alerts for _, alerts in TROUBLES.values()] + list(LINE_TROUBLES.values())
    assert {rule.alert for rule in QUERIES} == set().union(*raised)
    assert {rule.alert for rule in DRIFTS} == set().union(*DRIFT_TROUBLES.values())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.alert)
def test_every_alert_says_what_to_do(rule: Any) -> None:
    said = rule.annotations
    assert {"summary", "description", "first_steps", "runbook_url"} <= said.keys()
    assert not isinstance(rule, QueryRule) or said["safe_interval"]
    assert rule.labels["severity"] in {"page", "ticket"}
    assert all(f"{number}. " in said["first_steps"] for number in (1, 2, 3))
    page = (ROOT / said["runbook_url"]).read_text()
    assert page.startswith(f"# {rule.alert}\n")
    for heading in ("## What it means", "## First five minutes", "## Contain", "## Tune"):
        assert heading in page, f"{rule.alert}: {heading}"


def statements() -> list[tuple[str, str]]:
    """(name, SQL) of every statement in the runbooks and in the rules' first steps."""
    found = []
    for page in sorted(RUNBOOKS.glob("*.md")):
        blocks = re.findall(r"```sql\n(.*?)```", page.read_text(), re.DOTALL)
        found += [(f"{page.stem}-{number}", text) for number, text in enumerate(blocks, 1)]
    for rule in RULES:
        steps = rule.annotations["first_steps"]
        for number, text in enumerate(re.findall(r"(SELECT .*?)(?:\. \d\.|\.$|; |, and )", steps)):
            found.append((f"{rule.alert}-steps-{number}", text))
    return found


@pytest.mark.parametrize(("name", "text"), statements(), ids=lambda value: value[:40])
def test_every_statement_of_the_runbooks_runs(name: str, text: str, client: Client) -> None:
    assert name
    filled = text.replace("{trace_ids}", "'0af7651916cd43dd8448eb211c80319c'")
    filled = re.sub(r"\{(service_name|evaluator|reason)\}", "shop", filled)
    client.query(filled.rstrip().rstrip(";"), settings={"readonly": 2})
