"""Windows of streams as their writer stores them, made of counts."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from clickhouse_connect.driver.client import Client

from schemas.identity import stream_id
from schemas.streams import BUCKET_S, METRICS, SERVICE, DimensionSet
from sql.tables import table

TENANT = "shop"


class MadeStream:
    """A stream of which windows can be put."""

    def __init__(
        self,
        metric: str = "errors",
        family: str = "calls",
        dimensions: DimensionSet = SERVICE,
        labels: Sequence[str] = ("web", "prod"),
        judge: tuple[str, str] = ("", ""),
    ) -> None:
        self.family, self.metric, self.dimensions, self.judge = family, metric, dimensions, judge
        self.labels = dict(zip(dimensions.labels, labels, strict=True))
        self.id = stream_id(TENANT, family, metric, judge, dimensions.name, self.labels)
        self.edges = METRICS[family, metric].edges
        self.first_s = 0

    def put(self, client: Client, buckets: npt.ArrayLike, counts: npt.ArrayLike) -> None:
        """Windows at buckets [T] (s since 1970) with counts [T, B]; the last bin's are flagged."""
        at = np.asarray(buckets).tolist()
        rows: Iterable[tuple[Any, ...]] = [
            (
                TENANT, when, self.id, when.date(), 1, self.family, sum(hist), hist[-1],
                float(hist[-1]), float(hist[-1]), hist, {}, [], [], [],
            )
            for when, hist in (
                (datetime.fromtimestamp(start, UTC), row)
                for start, row in zip(at, np.asarray(counts).tolist(), strict=True)
            )
        ]  # fmt: skip
        self._store(client, rows, at)

    def put_vectors(self, client: Client, buckets: npt.ArrayLike, vectors: Any) -> None:
        """Windows of embeddings [T, N, D] at buckets [T]."""
        at = np.asarray(buckets).tolist()
        found = np.asarray(vectors, np.float64)
        sums = [(found**power).sum(axis=1).tolist() for power in (1, 2, 4)]
        rows = [
            (
                TENANT, when, self.id, when.date(), 1, self.family, found.shape[1], 0, 0.0, 0.0,
                [], {}, *(part[place] for part in sums),
            )
            for place, when in enumerate(datetime.fromtimestamp(start, UTC) for start in at)
        ]  # fmt: skip
        self._store(client, rows, at)

    def _store(self, client: Client, rows: Iterable[tuple[Any, ...]], at: list[int]) -> None:
        client.insert("genai_windows", list(rows), column_names=table("genai_windows").columns)
        self.first_s = first = min(at[0], self.first_s or at[0])
        last = max(at)
        client.insert(
            "genai_streams",
            [
                (
                    TENANT, self.id, last, self.family, self.metric, *self.judge,
                    self.dimensions.name, self.labels, self.edges.version, hash(self.id) & 0xFFFF,
                    datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC),
                )
            ],
            column_names=table("genai_streams").columns,
        )  # fmt: skip


def bucket_range(first_s: int, count: int) -> npt.NDArray[np.int64]:
    """Starts of so many buckets from one on."""
    return first_s + BUCKET_S * np.arange(count)
