"""``reprice`` and the views: the newest price table shows, whatever comes late, twice or out of
order."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from pydantic import SecretStr
from typer.testing import CliRunner

from processors.clickhouse import ClickHouseSink
from processors.prices.table import BUNDLED, PriceTable
from processors.store.rows import operation_row
from schemas.config import Config
from schemas.identity import EPOCH_DAY
from schemas.prices import PriceFile
from schemas.records import Usage
from sql.client import connect
from sql.dictionary import queries
from stack.cli import app
from stack.reprice import Outcome, Range, reprice
from tests.sql.records import START_NS, call, operation, span, trace

TODAY = datetime.combine(datetime.fromtimestamp(START_NS / 1e9, UTC), time(), UTC)
AROUND = Range(TODAY - timedelta(days=1), TODAY + timedelta(days=2))
SHOWN = (
    "SELECT span_id, cost_usd, price_version, repriced, arrival_cost_usd FROM v_call_costs "
    "WHERE trace_id = {t:String} ORDER BY span_id"
)


def at(usd: float, model: str = "acme") -> PriceTable:
    """A table with one price: this many USD for a million tokens, in and out."""
    entry = {"model": model, "usd_per_million": {"input": usd, "output": usd}}
    return PriceTable(PriceFile.model_validate({"prices": [entry]}))


def acme(number: int, span_number: int = 1, **fields: Any) -> Any:
    """A call of a self-hosted model that nobody could price when it came: 1,000 tokens."""
    told: dict[str, Any] = {
        "provider": "self", "request_model": "acme", "response_model": "", "cost_usd": None,
        "price_version": "", "usage": Usage(input_tokens=900, output_tokens=100),
    }  # fmt: skip
    record = {key: fields.pop(key) for key in ("tenant", "day", "fragments") if key in fields}
    return operation(number, span_number, call=call(**{**told, **fields}), **record)


async def put(sink: ClickHouseSink, *operations: Any) -> None:
    await sink.insert("genai_operations", list(map(operation_row, operations)))


def run(config: Config, prices: PriceTable, wanted: Range = AROUND, **options: Any) -> Outcome:
    reader, writer = connect(config.clickhouse), connect(config.clickhouse)
    try:
        return reprice(reader, writer, prices, wanted, **options)
    finally:
        reader.close()
        writer.close()


def shown(client: Client, number: int) -> list[tuple[Any, ...]]:
    """Span, cost, version, whether repriced, cost on arrival: what an analyst sees."""
    return list(client.query(SHOWN, parameters={"t": trace(number)}).result_rows)


async def test_the_table_asked_for_last_shows_everywhere(
    sink: ClickHouseSink, client: Client, migrated: Config
) -> None:
    other = operation(100, 2, call=call(service_name="money", cost_usd="0.0005"))
    await put(sink, acme(100, tenant="t100", service_name="money"), other)
    one, two = at(1), at(2)
    run(migrated, one, Range(AROUND.begin, AROUND.end, "t100"))
    assert shown(client, 100)[0] == (span(1), Decimal("0.001"), one.version, True, None)
    run(migrated, two, Range(AROUND.begin, AROUND.end, "t100"))
    run(migrated, two, Range(AROUND.begin, AROUND.end, "t100"))
    assert shown(client, 100) == [
        (span(1), Decimal("0.002"), two.version, True, None),
        (span(2), Decimal("0.0005"), "1", False, Decimal("0.0005")),
    ]
    calls = "SELECT sum(cost_usd) FROM v_calls WHERE trace_id = {t:String}"
    assert client.query(calls, parameters={"t": trace(100)}).result_rows == [(Decimal("0.0025"),)]
    assert client.query(
        "SELECT sum(calls), sum(priced_calls), sum(cost_usd) FROM v_cost "
        "WHERE service_name = 'money'"
    ).result_rows == [(2, 2, Decimal("0.0025"))]
    run(migrated, one, Range(AROUND.begin, AROUND.end, "t100"))
    assert shown(client, 100)[0][1] == Decimal("0.001"), "going back is asking for it last"
    rows = client.query(
        "SELECT uniqExact(price_version), count() FROM genai_costs FINAL WHERE tenant = 't100'"
    ).result_rows
    assert rows == [(2, 2)], "a row an operation and price table, however often"


async def test_a_late_revision_is_not_shown_the_price_of_the_old_one(
    sink: ClickHouseSink, client: Client, migrated: Config
) -> None:
    """More usage came after the run: its row was computed from less and must not stand."""
    here = Range(AROUND.begin, AROUND.end, "t101")
    await put(sink, acme(101, tenant="t101", cost_usd="0.5", price_version="p"))
    run(migrated, at(1), here)
    late = acme(
        101, tenant="t101", usage=Usage(input_tokens=1_000_000, output_tokens=0), cost_usd="7",
        price_version="p", fragments=("00000000000000aa", "0c"),
    )  # fmt: skip
    await put(sink, late)
    assert shown(client, 101) == [(span(1), Decimal(7), "p", False, Decimal(7))]
    run(migrated, at(1), here)
    assert shown(client, 101)[0][1] == Decimal(1)
    await put(sink, acme(101, tenant="t101"))
    assert shown(client, 101)[0][1] == Decimal(1), "the old revision again changes nothing"
    content_only = late.model_copy(
        update={"revision": late.revision + (1 << 32), "fragments": (*late.fragments, "0d")}
    )
    await put(sink, content_only)
    assert shown(client, 101)[0][1] == Decimal(1), "more content, same usage: the price stands"


async def test_rows_in_any_order_and_twice_say_the_same(
    sink: ClickHouseSink, client: Client, migrated: Config
) -> None:
    """A slow run's rows arrive after those of one begun later; inserts are repeated."""
    await put(sink, acme(102, tenant="t102"))
    run(migrated, at(3), Range(AROUND.begin, AROUND.end, "t102"))
    basis, day = client.query(
        "SELECT cost_basis, day FROM genai_costs FINAL WHERE tenant = 't102'"
    ).result_rows[0]
    columns = ["tenant", "trace_id", "span_id", "price_version", "day", "revision", "cost_basis",
               "cost_usd", "price_source"]  # fmt: skip
    writer = connect(migrated.clickhouse)
    for usd, revision in ((9, 1), (9, 1)):
        row = ["t102", trace(102), span(1), "slow", day, revision, basis, usd, "file:x"]
        writer.insert("genai_costs", [row], column_names=columns)
    writer.close()
    assert shown(client, 102)[0][1] == Decimal("0.003")


async def test_a_price_that_was_withdrawn_is_unknown_again(
    sink: ClickHouseSink, client: Client, migrated: Config
) -> None:
    here = Range(AROUND.begin, AROUND.end, "t103")
    await put(sink, acme(103, tenant="t103"))
    assert run(migrated, at(1), here).now_known == 1
    done = run(migrated, BUNDLED, here)
    assert (done.now_unknown, done.after_usd) == (1, 0)
    assert shown(client, 103) == [(span(1), None, "", True, None)]


async def test_range_tenant_duplicates_and_roll_ups(
    sink: ClickHouseSink, client: Client, migrated: Config
) -> None:
    hour_ns = 3_600_000_000_000
    start = datetime.fromtimestamp(START_NS // 10**9, UTC)
    await put(
        sink,
        acme(104, 1, tenant="t104"),
        acme(104, 2, tenant="t104", kind="invoke_agent"),
        acme(104, 3, tenant="t104", start_ns=START_NS + 2 * hour_ns),
        acme(104, 4, tenant="t104", usage=Usage()),
        acme(104, 5, tenant="t104", day=EPOCH_DAY, start_ns=1),
        acme(104, 1, tenant="u104"),
    )
    wanted = Range(start, start + timedelta(hours=1), "t104")
    assert run(migrated, at(1), wanted, dry_run=True).now_known == 2
    assert client.query("SELECT count() FROM genai_costs WHERE tenant = 't104'").result_rows == [
        (0,)
    ], "a dry run writes nothing"
    days: list[Any] = []
    done = run(migrated, at(1), wanted, progress=lambda day, _: days.append(day))
    assert (done.calls, done.now_known, done.after_usd) == (2, 2, Decimal("0.002"))
    assert days == wanted.days()
    repriced = [row[0] for row in shown(client, 104) if row[3]]
    assert repriced == [span(1), span(5)]


def test_a_range_lists_each_day_once() -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert Range(epoch, epoch + timedelta(hours=30)).days() == [date(1970, 1, 1), date(1970, 1, 2)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "2026-11-02", "--to", "2026-11-01"], "--to must be later than --from"),
        (["--from", "soon", "--to", "2026-11-01"], "--from soon: a day"),
    ],
)
def test_a_wrong_range_is_one_line(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["reprice", *arguments])
    assert result.exit_code == 1
    assert said in result.output


async def test_the_command(
    sink: ClickHouseSink,
    client: Client,
    migrated: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await put(sink, acme(105, tenant="t105"))
    prices = tmp_path / "prices.yaml"
    prices.write_text("prices:\n- {model: acme, usd_per_million: {input: 4, output: 4}}")
    settings = migrated.clickhouse
    token = settings.token
    for name, value in {
        "CLICKHOUSE__URL": settings.url,
        "CLICKHOUSE__DATABASE": settings.database,
        "CLICKHOUSE__TOKEN": token.get_secret_value() if isinstance(token, SecretStr) else token,
        "PRICES__FILE": str(prices),
    }.items():
        monkeypatch.setenv(f"STREAMGAUGE_{name}", value)
    command = ["reprice", "--from", str(TODAY.date()), "--to", f"{TODAY.date()}T23:59:59.999Z",
               "--tenant", "t105"]  # fmt: skip
    dry = CliRunner().invoke(app, [*command, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert "would be priced with genai-prices/" in dry.output
    assert "1 calls, 0 changed, 1 newly known" in dry.output
    assert shown(client, 105)[0][1] is None
    assert CliRunner().invoke(app, command).exit_code == 0
    assert shown(client, 105)[0][1] == Decimal("0.004")
    again = CliRunner().invoke(app, command)
    assert "1 the same" in again.output
    prices.write_text("prices:\n- {model: acme, usd_per_million: {input: -4}}")
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 1
    assert "prices.yaml:2: prices.0.usd_per_million.input" in " ".join(refused.output.split())


async def test_an_invoice_is_checked_line_by_line(
    sink: ClickHouseSink, client: Client, migrated: Config
) -> None:
    """The invoice as the command gives it: text."""
    told = {"provider": "billed", "response_model": "", "price_version": "p"}
    await put(
        sink,
        operation(106, 1, call=call(**told, request_model="right", cost_usd="2")),
        operation(106, 2, call=call(**told, request_model="more", cost_usd="3")),
        operation(106, 3, call=call(**told, request_model="unknown", cost_usd=None)),
        operation(106, 4, call=call(**told, request_model="forgotten", cost_usd="4")),
    )
    day = str(TODAY.date())
    query = queries()["cost_reconcile.sql"].text

    def checked(lines: list[tuple[str, str, str, float]]) -> dict[str, tuple[Any, ...]]:
        answer = client.query(query, parameters={"invoice": str(lines)})
        found = [dict(zip(answer.column_names, row, strict=True)) for row in answer.result_rows]
        shown = ("calls_n", "priced_n", "invoice_usd", "computed_usd", "verdict")
        return {row["model"]: tuple(row[name] for name in shown) for row in found}

    assert checked(
        [
            (day, "billed", "right", 1.5), (day, "billed", "right", 0.501),
            (day, "billed", "more", 6.0), (day, "billed", "unknown", 1.0),
            (day, "billed", "elsewhere", 9.0),
        ]
    ) == {
        "right": (1, 1, Decimal("2.001"), Decimal(2), "agrees"),
        "more": (1, 1, Decimal(6), Decimal(3), "differs"),
        "unknown": (1, 0, Decimal(1), Decimal(0), "unpriced"),
        "elsewhere": (0, 0, Decimal(9), Decimal(0), "only_invoiced"),
        "forgotten": (1, 1, None, Decimal(4), "only_here"),
    }  # fmt: skip
    assert checked([(day, "billed", "", 20.0)]) == {"": (4, 3, Decimal(20), Decimal(9), "unpriced")}
