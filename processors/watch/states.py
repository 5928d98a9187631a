"""States of the owned timed rules and of their conditions, kept in ``genai_rule_states``.

A picture, not a record: what matters is in the transitions. Written every few seconds for the rules
evaluated since, each with its conditions that are not inactive; what ClickHouse does not take is
written with the next evaluation.
"""

import logging
from collections.abc import Sequence

from processors.watch.timed_alerts import RuleState, Standing, TimedAlerts
from processors.watch.view_reader import QueryError, ViewReader
from schemas.protocols import Clock
from sql.tables import table
from sql.times import ticks

logger = logging.getLogger(__name__)

TABLE = "genai_rule_states"
EVERY_S = 15.0
STANDINGS_MAX = 100
"""Of one rule; the most urgent are kept."""
_ORDER = list(RuleState)
Row = tuple[object, ...]


class RuleStates:
    """Collects states and writes them."""

    def __init__(self, tenant: str, reader: ViewReader, clock: Clock) -> None:
        self._tenant = tenant
        self._reader = reader
        self._clock = clock
        self._fresh: dict[str, list[Row]] = {}

    def note(
        self, alerts: TimedAlerts, at_ns: int, state: RuleState | None = None, error: str = ""
    ) -> None:
        """A rule was evaluated for a time, or was not: then ``state`` and ``error`` say why."""
        now_ns = self._clock.time_ns()
        own = Standing(self._tenant, "", alerts.rule.labels, state or alerts.state)
        told = sorted(alerts.standings, key=lambda one: _urgency(one.state))[:STANDINGS_MAX]
        rule = alerts.rule.alert
        self._fresh[rule] = [_row(rule, one, at_ns, now_ns, error) for one in (own, *told)]

    async def run(self) -> None:
        """Write what is new, for ever."""
        while True:
            await self._clock.sleep(EVERY_S)
            await self.write()

    async def write(self) -> None:
        """Write what is new since the last time."""
        fresh, self._fresh = self._fresh, {}
        rows = [row for rows in fresh.values() for row in rows]
        try:
            if rows:
                await self._reader.store(TABLE, rows)
        except QueryError as error:
            logger.warning("states of rules were not stored: %s", error)


def _urgency(state: RuleState) -> int:
    first: Sequence[RuleState] = (RuleState.FIRING, RuleState.RECOVERING, RuleState.PENDING)
    return first.index(state) if state in first else len(first) + _ORDER.index(state)


def _row(rule: str, one: Standing, at_ns: int, now_ns: int, error: str) -> Row:
    return table(TABLE).row(
        {
            "tenant": one.tenant,
            "rule": rule,
            "fingerprint": one.fingerprint,
            "revision": now_ns,
            "state": str(one.state),
            "labels": dict(one.labels),
            "since": ticks(one.since_ns),
            "value": one.value,
            "n": one.n,
            "last_evaluated_at": ticks(at_ns),
            "error": error,
        }
    )
