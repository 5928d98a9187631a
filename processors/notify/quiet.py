"""What holds alerts back: silences that people made, and alerts that inhibit others.

Both are read from ClickHouse every few seconds; without an answer what was known last counts, and
what was never known holds nothing back: an alert too many is better than one too few. Alertmanagers
do this themselves and are not asked for here.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as DriverError
from urllib3.exceptions import HTTPError

from schemas.alert_records import AlertTransition, Outcome
from schemas.config import ClickHouseConfig
from schemas.inhibition import InhibitRule
from schemas.matchers import Matcher, parse
from schemas.protocols import Clock
from sql.client import connect
from sql.silences import Silence, silences

logger = logging.getLogger(__name__)

POLL_S = 10.0
FIRST_LOOK_S = 5.0
"""How long the first delivery waits for the first look."""
_OPEN = """
SELECT fingerprint, tenant, labels FROM v_alerts
WHERE status = 'firing' AND starts_at > now() - INTERVAL 7 DAY
"""
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Held:
    """Why an alert is held back: ``silenced`` or ``inhibited``, and by what."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class _Inhibition:
    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]


class Quiet:
    """Silences and open alerts as known now."""

    def __init__(
        self,
        config: ClickHouseConfig,
        inhibit: Sequence[InhibitRule],
        clock: Clock,
        own: Callable[[], Sequence[AlertTransition]],
    ) -> None:
        """``own`` are the newest transitions of the alerts of this worker's partitions."""
        self._config = config
        self._inhibit = [
            _Inhibition(
                tuple(map(parse, rule.source)), tuple(map(parse, rule.target)), tuple(rule.equal)
            )
            for rule in inhibit
        ]
        self._clock = clock
        self._own = own
        self._silences: list[tuple[Silence, tuple[Matcher, ...]]] = []
        self._open: dict[str, Labels] = {}
        self._looked = asyncio.Event()
        self.informed = False
        """Whether silences and open alerts were ever read."""
        self._client: Client | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="silences")

    async def look(self) -> None:
        """Read both once; what fails is logged and leaves what is known."""
        try:
            loop = asyncio.get_running_loop()
            found, alerts = await loop.run_in_executor(self._thread, self._read)
        except (DriverError, HTTPError, OSError) as error:
            self._client = None
            logger.info("silences are as last known: %s", type(error).__name__)
        else:
            self._silences = [(one, one.parsed) for one in found]
            self._open = alerts
            self.informed = True
        finally:
            self._looked.set()

    async def known(self) -> None:
        """Ends once the first look is over, or has lasted too long."""
        if not self._looked.is_set():
            try:
                await asyncio.wait_for(self._looked.wait(), FIRST_LOOK_S)
            except TimeoutError:
                self._looked.set()

    def close(self) -> None:
        """Give up the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def holds(self, transition: AlertTransition, at_ns: int | None = None) -> Held | None:
        """Why a transition is held back at a time (now, without one); None if it is not."""
        moment_ns = self._clock.time_ns() if at_ns is None else at_ns
        labels = _labels(transition)
        for silence, matchers in self._silences:
            lasts = silence.starts_at_ns <= moment_ns < silence.ends_at_ns
            if lasts and silence.tenant == transition.tenant and _hold(matchers, labels):
                return Held("silenced", silence.silence_id)
        for rule in self._inhibit:
            if not _hold(rule.target, labels):
                continue
            for fingerprint, source in self._firing().items():
                alike = all(source.get(name, "") == labels.get(name, "") for name in rule.equal)
                if fingerprint != transition.fingerprint and alike and _hold(rule.source, source):
                    return Held("inhibited", fingerprint)
        return None

    def _firing(self) -> dict[str, Labels]:
        """Labels of open alerts: those ClickHouse knows, corrected by what this worker saw."""
        firing = dict(self._open)
        for transition in self._own():
            if transition.ends_at_ns is None:
                firing[transition.fingerprint] = _labels(transition)
            else:
                firing.pop(transition.fingerprint, None)
        return firing

    def _read(self) -> tuple[list[Silence], dict[str, Labels]]:
        if self._client is None:
            self._client = connect(self._config)
        rows = self._client.query(_OPEN).result_rows
        alerts: dict[str, Labels] = {
            str(mark): {**labels, "tenant": str(tenant)} for mark, tenant, labels in rows
        }
        return silences(self._client), alerts


def _labels(transition: AlertTransition) -> dict[str, str]:
    return {**transition.labels, "tenant": transition.tenant}


def _hold(matchers: Sequence[Matcher], labels: Labels) -> bool:
    return all(matcher.holds(labels) for matcher in matchers)
