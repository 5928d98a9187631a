"""Baselines of prompt embeddings: moments of usable hours, and the law that these hours show.

A fixed baseline that people created goes before the past: its frozen moments are what is compared
with, its own hours give the law. Else it is the four weeks before, less what was a drift or
silenced. Prompts follow no baseline by the hour of the week: that hours differ is in the law.
"""

from collections.abc import Sequence
from dataclasses import replace

from clickhouse_connect.driver.client import Client

from processors.watch.drift.embedding_backtest import Hourly
from processors.watch.drift.embeddings import EmbeddingBaseline, Moments
from processors.watch.drift.series import BUCKETS_PER_HOUR
from sql.embeddings import frozen_of, hours_of

HISTORY_S = 28 * 86_400


def hourly(client: Client, tenant: str, stream: str, from_s: int, to_s: int) -> Hourly:
    """A stream's usable hours in [from, to), s since 1970. Raises as queries do."""
    rows = hours_of(client, tenant, [stream], from_s, to_s)
    return Hourly.of([(hour, Moments.of_sums(n, *sums)) for _, _, hour, n, *sums in rows])


def embedding_past(
    client: Client, tenant: str, stream: str, now_s: int, excluded: Sequence[tuple[int, int]]
) -> Hourly:
    """The four weeks before, less ranges [first, end) of buckets; an hour touched is left out."""
    ranges = [(first // BUCKETS_PER_HOUR, -(-end // BUCKETS_PER_HOUR)) for first, end in excluded]
    return hourly(client, tenant, stream, now_s - HISTORY_S, now_s).without(ranges)


def frozen_baseline(client: Client, tenant: str, stream: str, past: Hourly) -> EmbeddingBaseline:
    """The law of these hours, and moments as the stream's fixed baseline froze them."""
    fitted = past.fitted()
    for _, n, *sums in frozen_of(client, tenant, [stream]):
        moments = Moments.of_sums(n, *sums)
        same = len(moments.sum1) == len(fitted.moments.sum1)
        fitted = replace(fitted, moments=moments) if same else replace(fitted, hours=0)
    return fitted
