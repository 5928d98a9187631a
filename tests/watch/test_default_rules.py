"""The shipped query rules: each fires on its own trouble, and none on a healthy day.

Each tenant of one database has the same traffic (a day, a busy last quarter of an hour) with one
trouble; the rules are asked once, and what holds must be exactly what the trouble calls for.
"""

import asyncio
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse import ClickHouseSink
from processors.runtime.clock import SystemClock
from processors.store.rows import dead_letter_row, evaluation_row, ledger_row, operation_row
from processors.watch.view_reader import ViewReader
from schemas.config import ClickHouseConfig, Config
from schemas.dead_letters import encode_headers
from schemas.evaluators import Evaluator, Label, State, Target
from schemas.identity import evaluation_revision, span_day
from schemas.protocols import DeadLetter, Message
from schemas.records import Evaluation, LedgerRow, Operation
from schemas.rules import QueryRule, load_rules
from schemas.topics import DEAD_LETTERS
from sql.client import connect
from sql.migrate import migrate
from stack.clickhouse.process import ClickHouse
from tests.sql.records import call, evaluation, operation

ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
RULES = load_rules(ROOT / "deploy" / "rules.yaml")
QUERIES = [rule for rule in RULES if isinstance(rule, QueryRule)]
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
NOW_S = time.time_ns() // SECOND_NS
AT_NS = (NOW_S - 60 if NOW_S % 86_400 < 60 else NOW_S) * SECOND_NS
"""Now, or a minute ago while the UTC day is too young to have calls."""
DAY_BEFORE = [75 * MINUTE_NS + number * 4 * MINUTE_NS for number in range(340)]
HALF_AN_HOUR_AGO = [15 * MINUTE_NS + number * 40 * SECOND_NS for number in range(30)]
LATELY = [(number + 1) * 14 * SECOND_NS for number in range(60)]
JUDGED = (
    (Evaluator.INJECTION, Target.OPERATION),
    (Evaluator.TOXICITY, Target.OPERATION),
    (Evaluator.TOXICITY, Target.OUTPUT),
    (Evaluator.HALLUCINATION, Target.OPERATION),
    (Evaluator.PII, Target.OUTPUT),
    (Evaluator.SECRETS, Target.OUTPUT),
)


@dataclass
class Call:
    """One call as a trouble may bend it."""

    number: int
    age_ns: int
    call: dict[str, Any] = field(default_factory=dict)
    verdicts: dict[tuple[Evaluator, Target], dict[str, Any]] = field(
        default_factory=lambda: {key: {} for key in JUDGED}
    )
    tool_after_s: int | None = None
    """When a tool of the trace was called, s after this call's end; None: never."""

    @property
    def lately(self) -> bool:
        """Of the last hour."""
        return self.age_ns < 60 * MINUTE_NS


Trouble = Callable[[list[Call]], list[Call]]


def each(change: Callable[[Call], None], every: int = 1, lately: bool = True) -> Trouble:
    """Bend every n-th call of the last hour (or of all)."""

    def bend(calls: list[Call]) -> list[Call]:
        chosen = [call for call in calls if call.lately or not lately]
        for chosen_call in chosen[::every]:
            change(chosen_call)
        return calls

    return bend


def flagged(evaluator: Evaluator, target: Target, label: Label = Label.PAGE) -> Any:
    def change(one: Call) -> None:
        one.verdicts[evaluator, target] = {"score": 0.99, "label": label}

    return change


def attacked(*signs: tuple[Evaluator, Target], tool_after_s: int | None = None) -> Trouble:
    """Three calls of the last quarter of an hour with an injection, and what came of it."""

    def change(one: Call) -> None:
        for evaluator, target in ((Evaluator.INJECTION, Target.OPERATION), *signs):
            one.verdicts[evaluator, target] = {"score": 0.99, "label": Label.PAGE}
        one.tool_after_s = tool_after_s

    return each(change, 20)


def failing(one: Call) -> None:
    one.call["status"] = "error"


def slow(one: Call) -> None:
    one.call["duration_ns"] = 12 * SECOND_NS


def dear(one: Call) -> None:
    one.call["cost_usd"] = "0.05"


def very_dear(one: Call) -> None:
    one.call["cost_usd"] = "120"


def unpriced(one: Call) -> None:
    one.call.update(cost_usd=None, price_version="")


def without_content(one: Call) -> None:
    one.call["content_state"] = "not_captured"


def unjudged(one: Call) -> None:
    one.verdicts.clear()


def broken_evaluator(one: Call) -> None:
    one.verdicts[Evaluator.TOXICITY, Target.OPERATION] = {"state": State.FAILED}


def silent(calls: list[Call]) -> list[Call]:
    """Nothing for half an hour, after an hour as busy as ever."""
    kept = [one for one in calls if one.age_ns > 60 * MINUTE_NS]
    for number, one in enumerate(kept[:40]):
        one.age_ns = (31 + number) * MINUTE_NS
    return kept


TROUBLES: dict[str, tuple[Trouble, set[str]]] = {
    "healthy": (lambda calls: calls, set()),
    "burst": (each(flagged(Evaluator.INJECTION, Target.OPERATION), 3), {"InjectionBurst"}),
    "tool after injection": (attacked(tool_after_s=3), {"InjectionFollowedByCompliance"}),
    "markup after injection": (
        attacked((Evaluator.UNSAFE_OUTPUT, Target.OPERATION)),
        {"InjectionFollowedByCompliance"},
    ),
    "secret after injection": (
        attacked((Evaluator.SECRETS, Target.OUTPUT)),
        {"InjectionFollowedByCompliance", "SecretInAnswer"},
    ),
    "injection and no more": (attacked(), set()),
    "tool before injection": (attacked(tool_after_s=-3), set()),
    "refused injection": (
        attacked((Evaluator.REFUSAL, Target.OPERATION), tool_after_s=3),
        set(),
    ),
    "markup without injection": (
        each(flagged(Evaluator.UNSAFE_OUTPUT, Target.OPERATION), 20),
        set(),
    ),
    "secret": (each(flagged(Evaluator.SECRETS, Target.OUTPUT), 40), {"SecretInAnswer"}),
    "pii": (
        each(flagged(Evaluator.PII, Target.OUTPUT, Label.WARN), 5),
        {"PersonalDataInAnswers"},
    ),
    "toxic": (each(flagged(Evaluator.TOXICITY, Target.OUTPUT), 30), {"ToxicAnswers"}),
    "toxic at warn": (
        each(flagged(Evaluator.TOXICITY, Target.OUTPUT, Label.WARN), 30),
        set(),
    ),
    "unsupported": (
        each(flagged(Evaluator.HALLUCINATION, Target.OPERATION), 4),
        {"UnsupportedAnswers"},
    ),
    "unsupported as ever": (
        each(flagged(Evaluator.HALLUCINATION, Target.OPERATION), 4, lately=False),
        set(),
    ),
    "some errors": (each(failing, 12), {"CallsFail"}),
    "many errors": (each(failing, 3), {"CallsFail", "ErrorBudgetBurns"}),
    "slow": (each(slow), {"CallsSlow"}),
    "slow as ever": (each(slow, lately=False), set()),
    "dear": (each(dear), {"CostSpike"}),
    "over budget": (each(very_dear, lately=False), {"CostBudget", "CostSpike"}),
    "unpriced": (each(unpriced, lately=False), set()),
    "silent": (silent, {"ServiceSilent"}),
    "no verdicts": (each(unjudged), {"VerdictsMissing"}),
    "evaluator": (each(broken_evaluator, 4), {"EvaluatorsFail"}),
    "no content": (each(without_content), {"ContentMissing"}),
    "few calls": (lambda calls: [one for one in calls if failing(one) is None][:15], set()),
}


def tool_call(tenant: str, one: Call, start_ns: int) -> Operation:
    """A tool's call in the trace of a call."""
    day = span_day(start_ns, AT_NS // 1_000_000)
    end_ns = start_ns + SECOND_NS
    said = call(
        kind="execute_tool", tool_name="send_mail", content_state="not_captured", start_ns=start_ns,
        end_ns=end_ns,
    )  # fmt: skip
    return operation(one.number, 2, tenant=tenant, day=day, call=said)


def rows_of(tenant: str, trouble: Trouble) -> tuple[list[Operation], list[Evaluation]]:
    ages = enumerate(LATELY + HALF_AN_HOUR_AGO + DAY_BEFORE)
    operations: list[Operation] = []
    verdicts: list[Evaluation] = []
    for one in trouble([Call(number, age_ns) for number, age_ns in ages]):
        end_ns = AT_NS - one.age_ns
        start_ns = end_ns - one.call.pop("duration_ns", 2 * SECOND_NS)
        day = span_day(start_ns, AT_NS // 1_000_000)
        said = call(start_ns=start_ns, end_ns=end_ns, **one.call)
        operations.append(operation(one.number, 1, tenant=tenant, day=day, call=said))
        if one.tool_after_s is not None:
            operations.append(tool_call(tenant, one, end_ns + one.tool_after_s * SECOND_NS))
        for (evaluator, target), changes in one.verdicts.items():
            state = changes.get("state", State.OK)
            revision = evaluation_revision(state, 1, AT_NS)
            usual = {"tenant": tenant, "day": day, "span_end_ns": end_ns, "revision": revision}
            verdicts.append(
                evaluation(
                    one.number, 1, evaluator=evaluator, target=target, **{**usual, **changes}
                )
            )
    return operations, verdicts


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
def held(planted: Config) -> dict[str, set[str]]:
    """Alerts whose condition holds, by tenant."""
    reader = ViewReader(planted)
    found: dict[str, set[str]] = {}
    for rule in QUERIES:
        # The rows were inserted a moment after AT_NS; the books get their time to come in.
        wait_ns = {"DeadLetters": 0, "LedgerUnbalanced": 16 * MINUTE_NS}.get(rule.alert)
        at_ns = AT_NS if wait_ns is None else time.time_ns() + wait_ns
        for row in asyncio.run(reader.ask(rule, at_ns)):
            found.setdefault(row.tenant, set()).add(rule.alert)
    reader.close()
    return found


@pytest.mark.parametrize("tenant", [*TROUBLES, *LINE_TROUBLES])
def test_each_trouble_raises_its_alerts_and_no_others(
    tenant: str, held: dict[str, set[str]]
) -> None:
    expected = LINE_TROUBLES[tenant] if tenant in LINE_TROUBLES else TROUBLES[tenant][1]
    assert held.get(tenant, set()) == expected


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


def test_every_query_rule_has_its_trouble() -> None:
    raised = [alerts for _, alerts in TROUBLES.values()] + list(LINE_TROUBLES.values())
    assert {rule.alert for rule in QUERIES} == set().union(*raised)


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
