"""Silences as rows of ``genai_silences``: made and ended by commands, read by ``notify`` and where
baselines leave out what was silenced."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clickhouse_connect.driver.client import Client

from schemas.identity import NS_PER_MS
from schemas.matchers import Matcher, parse
from sql.tables import table
from sql.times import day_of_ns, ticks

TABLE = "genai_silences"
NS_PER_S = 1_000_000_000
KEPT_DAYS = 8
"""Silences that ended longer ago say nothing of any alert that is still known."""
_COLUMNS = """
SELECT tenant, silence_id, matchers, toUnixTimestamp64Nano(starts_at),
  toUnixTimestamp64Nano(ends_at), author, why, toUnixTimestamp64Nano(created_at)
FROM genai_silences FINAL
"""
_PAST = f"""
{_COLUMNS} WHERE tenant = {{tenant:String}} AND ends_at > fromUnixTimestamp({{from:UInt32}})
  AND starts_at < fromUnixTimestamp({{to:UInt32}})
"""
_LATELY = f"{_COLUMNS} WHERE ends_at > now() - INTERVAL {KEPT_DAYS} DAY ORDER BY ends_at"


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence; times ns since 1970."""

    tenant: str
    silence_id: str
    matchers: tuple[str, ...]
    starts_at_ns: int
    ends_at_ns: int
    author: str
    comment: str
    created_at_ns: int

    @property
    def parsed(self) -> tuple[Matcher, ...]:
        """Its matchers."""
        return tuple(map(parse, self.matchers))


def new_silence_id() -> str:
    """Twelve random hex characters."""
    return secrets.token_hex(6)


def store_silence(client: Client, silence: Silence, now_ns: int) -> None:
    """Insert or replace one. Raises clickhouse-connect's errors."""
    row = table(TABLE).row(
        {
            "tenant": silence.tenant,
            "silence_id": silence.silence_id,
            "day": day_of_ns(silence.created_at_ns),
            "revision": now_ns // NS_PER_MS,
            "matchers": list(silence.matchers),
            "starts_at": ticks(silence.starts_at_ns),
            "ends_at": ticks(silence.ends_at_ns),
            "author": silence.author,
            "why": silence.comment,
            "created_at": ticks(silence.created_at_ns),
        }
    )
    client.insert(TABLE, [row], column_names=list(table(TABLE).columns))


def silences(client: Client) -> list[Silence]:
    """Those that last, and those that ended lately. Raises clickhouse-connect's errors."""
    return _silences(client.query(_LATELY).result_rows)


def past_silences(client: Client, tenant: str, from_s: int, to_s: int) -> list[Silence]:
    """Those of a tenant that lasted some time in [from, to), s since 1970. Raises likewise."""
    given = {"tenant": tenant, "from": from_s, "to": to_s}
    return _silences(client.query(_PAST, parameters=given).result_rows)


def _silences(rows: Iterable[Sequence[Any]]) -> list[Silence]:
    return [
        Silence(str(tenant), str(name), tuple(matchers), start, end, who, why, made)
        for tenant, name, matchers, start, end, who, why, made in rows
    ]


def expire(client: Client, found: Sequence[Silence], now_ns: int) -> list[Silence]:
    """End those that still last, now. Raises clickhouse-connect's errors."""
    ended = [replace(one, ends_at_ns=now_ns) for one in found if one.ends_at_ns > now_ns]
    for one in ended:
        store_silence(client, one, now_ns)
    return ended
