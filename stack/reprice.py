"""Prices stored calls again: rows of ``genai_costs``, never the operations themselves.

Every call of the range that has usage gets a row, also where its cost stays the same: what an
earlier run with another table said would stand otherwise. A run is one price table and one moment
(its revision), so that it can be repeated, interrupted and run beside another: of one table the
same rows result, and of two the one that was begun last shows.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from clickhouse_connect.driver.client import Client

from processors.prices.table import PriceTable
from schemas.identity import EPOCH_DAY
from schemas.records import Usage
from sql.tables import table

ROWS_AT_ONCE = 20_000
NS_PER_MS = 1_000_000
USAGE = tuple(Usage.model_fields)
TABLE = table("genai_costs")

# The time that chose the price on arrival: an untrusted start is the sender's, not the call's.
CALL_TIME = "if(o.day = toDate('1970-01-01'), toDateTime64(o.inserted_at, 9, 'UTC'), o.start_time)"
_CALLS_SQL = f"""
SELECT o.tenant, o.trace_id, o.span_id, o.day, o.cost_basis, o.provider, o.response_model,
  o.request_model, o.service_tier, toUnixTimestamp64Nano({CALL_TIME}),
  {", ".join(f"o.{name}" for name in USAGE)},
  if(r.repriced, r.cost_usd, o.cost_usd)
FROM genai_operations AS o FINAL
LEFT ANY JOIN (SELECT * FROM v_repriced WHERE day = {{day:Date}}) AS r
  ON o.tenant = r.tenant AND o.trace_id = r.trace_id AND o.span_id = r.span_id
  AND o.cost_basis = r.cost_basis
WHERE o.day = {{day:Date}} AND o.duplicate_of = '' AND NOT o.rolls_up
  AND ({" OR ".join(f"o.{name} IS NOT NULL" for name in USAGE)})
  AND {CALL_TIME} >= {{begin:DateTime64(9, 'UTC')}} AND {CALL_TIME} < {{end:DateTime64(9, 'UTC')}}
  AND ({{tenant:String}} = '' OR o.tenant = {{tenant:String}})
SETTINGS join_use_nulls = 0, distributed_product_mode = 'global'
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Range:
    """Calls from ``begin`` up to but without ``end``, of one tenant or of all."""

    begin: datetime
    end: datetime
    tenant: str = ""

    def days(self) -> list[date]:
        """UTC days that can hold such calls, each once; with that of calls with untrusted starts,
        the last unless the range has it."""
        first, last = self.begin.astimezone(UTC).date(), self.end.astimezone(UTC).date()
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        return list(dict.fromkeys((*days, date.fromisoformat(EPOCH_DAY))))


@dataclass(slots=True)
class Outcome:
    """What a run did, or a dry run would do."""

    calls: int = 0
    same: int = 0
    changed: int = 0
    now_known: int = 0
    now_unknown: int = 0
    before_usd: Decimal = field(default=Decimal(0))
    after_usd: Decimal = field(default=Decimal(0))

    def add(self, before: Decimal | None, after: Decimal | None) -> None:
        """Count one call."""
        self.calls += 1
        self.before_usd += before or 0
        self.after_usd += after or 0
        if before == after:
            self.same += 1
        elif before is None:
            self.now_known += 1
        elif after is None:
            self.now_unknown += 1
        else:
            self.changed += 1


Progress = Callable[[date, Outcome], None]


def reprice(
    client: Client,
    writer: Client,
    prices: PriceTable,
    wanted: Range,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Price every call of the range with this table; ``progress`` hears after each day.

    ``client`` reads while ``writer`` inserts: a client serves one query at a time. Raises
    clickhouse-connect's errors; what was written until then stands, and a run again completes it.
    """
    outcome = Outcome()
    revision = time.time_ns() // NS_PER_MS
    for day in wanted.days():
        rows: list[tuple[object, ...]] = []
        for call in _calls(client, wanted, day):
            rows.append(_priced(call, prices, revision, outcome))
            if len(rows) >= ROWS_AT_ONCE:
                _insert(writer, rows, dry_run)
        _insert(writer, rows, dry_run)
        if progress is not None:
            progress(day, outcome)
    return outcome


def _calls(client: Client, wanted: Range, day: date) -> Iterator[tuple[object, ...]]:
    parameters = {"day": day, "begin": wanted.begin, "end": wanted.end, "tenant": wanted.tenant}
    with client.query_rows_stream(_CALLS_SQL, parameters=parameters) as stream:
        yield from stream


def _priced(
    call: tuple[object, ...], prices: PriceTable, revision: int, outcome: Outcome
) -> tuple[object, ...]:
    tenant, trace_id, span_id, day, basis, provider, answered, asked, tier, time_ns = call[:10]
    usage = Usage.model_validate(dict(zip(USAGE, call[10:-1], strict=True)))
    models = (str(answered), str(asked))
    price = prices.of_usage(usage, str(provider), models, str(tier), int(str(time_ns)))
    cost = None if price.cost_usd is None else price.cost_usd.quantize(Decimal("1e-9"))
    before = call[-1]
    outcome.add(before if isinstance(before, Decimal) else None, cost)
    return TABLE.row(
        {
            "tenant": tenant,
            "trace_id": trace_id,
            "span_id": span_id,
            "price_version": prices.version,
            "day": day,
            "revision": revision,
            "cost_basis": basis,
            "cost_usd": cost,
            "price_source": price.source,
        }
    )


def _insert(writer: Client, rows: list[tuple[object, ...]], dry_run: bool) -> None:
    """Insert and empty the list."""
    if rows and not dry_run:
        writer.insert(TABLE.name, rows, column_names=TABLE.columns)
    rows.clear()
