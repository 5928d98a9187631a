"""Rows to make windows of, and a recount of them that shares no SQL with the writer."""

import math
import random
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clickhouse_connect.driver.client import Client

from processors.store.rows import embedding_row, evaluation_row, operation_row
from schemas.evaluators import Evaluator, Label, State
from schemas.identity import span_day
from schemas.records import Embedding, Evaluation, Operation, Usage
from schemas.streams import (
    BUCKET_S,
    CALLS,
    FAMILIES,
    OTHER,
    PROMPTS,
    TOOLS,
    VERDICTS,
    Family,
    sketch_key,
)
from sql.tables import table
from sql.windows import bucket_of
from tests.sql.records import call, embedding, evaluation, operation

SECOND_NS = 1_000_000_000
START_S = bucket_of(time.time()) - 6 * BUCKET_S
"""Start of the first bucket of the rows: long sealed, and today (or yesterday, after midnight)."""
BUCKETS = 3

Key = tuple[str, str, str, str, str, str, tuple[str, ...], int]
"""Tenant, family, metric, evaluator, version, dimensions, label values, bucket."""


@dataclass
class Window:
    """What a window holds, counted by hand."""

    n: int = 0
    flagged: int = 0
    total: float = 0.0
    squares: float = 0.0
    sketch: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    hist: list[int] = field(default_factory=list)
    moments: list[list[float]] = field(default_factory=list)
    """Of vectors: sums of first, second and fourth powers by component."""


def made_operation(rng: random.Random, number: int, revision: int = 1, **said: Any) -> Operation:
    """A call, tool call or retrieval; its end is a function of ``number``, the rest of chance."""
    end_ns = START_S * SECOND_NS + number * 7_919_000_000 % (BUCKETS * BUCKET_S * SECOND_NS)
    took_ns = rng.choice((0, 1_500_000_000, rng.randrange(1, 90 * SECOND_NS)))
    kind = rng.choice(("chat",) * 6 + ("execute_tool", "retrieval", "invoke_agent"))
    release = rng.choice(("1.0", "1.1", ""))
    duplicate_of = said.pop("duplicate_of", "0" * 16 if rng.random() < 0.1 else "")
    fields: dict[str, Any] = {
        "service_name": f"app-{number % 3}",
        "environment": "prod",
        "service_version": release,
        "kind": kind,
        "response_model": rng.choice(("gpt-4o", "gpt-4o-mini", "")),
        "prompt_name": "assistant",
        "prompt_version": rng.choice(("", "7")),
        "tool_name": "search" if kind == "execute_tool" else "",
        "status": rng.choice(("ok", "ok", "error")),
        "finish_reasons": rng.choice(((), ("stop",), ("length", "stop"), ("guess",))),
        "start_ns": end_ns - took_ns,
        "end_ns": end_ns,
        "time_to_first_token_ns": rng.choice((None, 0, took_ns // 3)),
        "cost_usd": rng.choice((None, "0", "0.0123")),
        "usage": Usage(
            input_tokens=rng.choice((None, 0, 17, 4000)), cache_read_tokens=rng.choice((None, 5)),
            output_tokens=rng.choice((None, 300)),
        ),
    }  # fmt: skip
    return operation(
        number, 1, tenant=f"tenant-{number % 2}", revision=revision, duplicate_of=duplicate_of,
        day=span_day(end_ns - took_ns, end_ns // 1_000_000), call=call(**{**fields, **said}),
    )  # fmt: skip


def made_verdicts(rng: random.Random, judged: Operation) -> Iterator[Evaluation]:
    """Verdicts of two versions of an evaluator, and what does not count."""
    common: dict[str, Any] = {
        "tenant": judged.tenant,
        "day": judged.day,
        "span_end_ns": judged.call.end_ns,
        "service_name": judged.call.service_name,
        "environment": judged.call.environment,
        "model": judged.call.response_model or judged.call.request_model,
        "kind": judged.call.kind,
    }
    number = int(judged.trace_id, 16)
    for version in ("v1", "v2"):
        score = rng.choice((0.0, 0.5, 1.0, rng.random(), float("nan")))
        yield evaluation(
            number, 1, model_version=version, score=score,
            label=Label.PAGE if score > 0.9 else Label.PASS, **common,
        )  # fmt: skip
    yield evaluation(number, 1, target="input", score=0.3, **common)
    yield evaluation(number, 1, evaluator=Evaluator.PII, state=State.NOT_APPLICABLE, **common)


def made_embeddings(rng: random.Random, asked: Operation) -> Iterator[Embedding]:
    """Where a call's prompt lies for two encoders, and one that says nothing."""
    common: dict[str, Any] = {
        "tenant": asked.tenant,
        "day": asked.day,
        "revision": asked.revision,
        "span_end_ns": asked.call.end_ns,
        "service_name": asked.call.service_name,
        "environment": asked.call.environment,
        "model": asked.call.response_model or asked.call.request_model,
    }
    number = int(asked.trace_id, 16)
    for encoder in ("e1", "e2"):
        vector = [rng.uniform(-1, 1) for _ in range(3)]
        yield embedding(number, vector, encoder=encoder, **common)
    yield embedding(number, (float("nan"),) * 3, encoder="e3", **common)


def shuffled(rng: random.Random, numbers: Sequence[int]) -> list[tuple[str, tuple[object, ...]]]:
    """(table, row) of operations in up to three revisions with their verdicts, repeated, mixed."""
    rows = []
    for number in numbers:
        for revision in range(1, rng.randrange(2, 5)):
            told = made_operation(rng, number, revision)
            rows += [("genai_operations", operation_row(told))] * rng.choice((1, 1, 2))
        if told.call.kind == "chat":
            found = [("genai_embeddings", embedding_row(one)) for one in made_embeddings(rng, told)]
            rows += found * rng.choice((1, 1, 2))
        rows += [
            ("genai_evaluations", evaluation_row(v))
            for v in made_verdicts(rng, told)
            for _ in range(rng.choice((1, 1, 2)))
        ]
    rng.shuffle(rows)
    return rows


def put(client: Client, rows: Sequence[tuple[str, tuple[object, ...]]], parts: int = 4) -> None:
    """Insert rows in some parts, none deduplicated by the server."""
    for part in range(parts):
        for name in ("genai_operations", "genai_evaluations", "genai_embeddings"):
            mine = [row for target, row in rows[part::parts] if target == name]
            if mine:
                client.insert(
                    name, mine, column_names=table(name).columns,
                    settings={"insert_deduplication_token": uuid.uuid4().hex},
                )  # fmt: skip


def newest(client: Client, name: str) -> list[dict[str, Any]]:
    """Rows of the highest revision by identity."""
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    end = "end_time" if name == "genai_operations" else "span_end"
    query = f"SELECT *, toUnixTimestamp64Nano({end}) AS end_ns FROM {name}"  # noqa: S608
    for row in client.query(query).named_results():
        identity = tuple(row[column] for column in (*table(name).identity, "day"))
        if identity not in kept or kept[identity]["revision"] <= row["revision"]:
            kept[identity] = dict(row)
    return list(kept.values())


def recount(client: Client) -> dict[Key, Window]:
    """Every window that there should be, from the rows themselves."""
    operations = newest(client, "genai_operations")
    by_span = {(o["tenant"], o["trace_id"], o["span_id"]): o for o in operations}
    found: dict[Key, Window] = defaultdict(Window)
    for row in operations:
        row["model"] = row["response_model"] or row["request_model"]
        row |= {"evaluator": "", "model_version": ""}
        if row["duplicate_of"]:
            continue
        if row["kind"] == "chat":
            _count(found, CALLS, row, _call_values(row))
        elif row["kind"] == "execute_tool":
            failed = row["status"] == "error"
            values = {"errors": (failed, failed), "duration_ns": (row["duration_ns"], False)}
            _count(found, TOOLS, row, values)
    for row in newest(client, "genai_evaluations"):
        judged = by_span.get((row["tenant"], row["trace_id"], row["span_id"]), {})
        names = ("prompt_name", "prompt_version", "service_version")
        row |= {name: judged.get(name, "") for name in names}
        if row["target"] == "operation" and row["state"] == "ok" and not judged.get("duplicate_of"):
            _count(found, VERDICTS, row, {"score": (row["score"], row["label"] != "pass")})
    for row in newest(client, "genai_embeddings"):
        asked = by_span.get((row["tenant"], row["trace_id"], row["span_id"]), {})
        row |= {"evaluator": "", "model_version": row["encoder"]}
        if not asked.get("duplicate_of") and not math.isnan(row["vector"][0]):
            _count(found, PROMPTS, row, {"embedding": (row["vector"], False)})
    return dict(found)


def _call_values(row: Mapping[str, Any]) -> dict[str, tuple[Any, bool]]:
    first = next(iter(row["finish_reasons"]), None)
    failed = row["status"] == "error"
    names = ("cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens")
    cached = sum(row[name] or 0 for name in names)
    return {
        "input_tokens": (_plus(row["input_tokens"], cached), False),
        "output_tokens": (_plus(row["output_tokens"], row["reasoning_tokens"] or 0), False),
        "cost_usd": (row["cost_usd"], False),
        "duration_ns": (row["duration_ns"], False),
        "time_to_first_token_ns": (row["time_to_first_token_ns"], False),
        "errors": (failed, failed),
        "finish_reason": (first, first not in ("stop", "tool_call")),
    }


def _plus(known: int | None, more: int) -> int | None:
    return None if known is None else known + more


def _count(
    found: dict[Key, Window], family: Family, row: Mapping[str, Any], values: Mapping[str, Any]
) -> None:
    bucket = bucket_of(row["end_ns"] // SECOND_NS)
    for number, chosen in enumerate(family.dimension_sets):
        labels = tuple(row[label] for label in chosen.labels)
        if number and not labels[-1]:
            continue
        for metric in family.metrics:
            value, flagged = values[metric.name]
            if value is None or (isinstance(value, float) and math.isnan(value)):
                continue
            key = (
                row["tenant"], family.name, metric.name, row["evaluator"], row["model_version"],
                chosen.name, labels, bucket,
            )  # fmt: skip
            _add(found[key], metric.edges, value, flagged)


def _add(window: Window, edges: Any, value: Any, flagged: bool) -> None:
    if isinstance(value, list):
        window.n += 1
        before = window.moments or [[0.0] * len(value)] * 3
        window.moments = [
            [total + x**power for total, x in zip(sums, value, strict=True)]
            for sums, power in zip(before, (1, 2, 4), strict=True)
        ]
        return
    if isinstance(value, str):
        known = edges.categories
        sketched, number = known.index(value if value in known else OTHER), 0.0
    else:
        number = float(value)
        sketched = int(value) if edges.categories else sketch_key(number)
    window.n += 1
    window.flagged += flagged
    window.total += number
    window.squares += number * number
    window.sketch[sketched] += 1
    window.hist = window.hist or [0] * len(edges.bins)
    window.hist[next(i for i, limit in enumerate(edges.keys) if sketched <= limit)] += 1


def stored(client: Client) -> dict[Key, Window]:
    """Every window that ClickHouse shows and that counts something."""
    rows = client.query(
        "SELECT w.tenant, s.family, metric, evaluator, model_version, dimensions, labels, "
        "toUnixTimestamp(bucket), n, flagged, total, squares, sketch, hist, "
        "[vector_sums, vector_squares, vector_fourths] "
        "FROM (SELECT * FROM genai_windows FINAL WHERE n > 0) AS w "
        "LEFT JOIN (SELECT * FROM genai_streams FINAL) AS s USING (tenant, stream_id)"
    ).result_rows
    names = {chosen.name: chosen.labels for f in FAMILIES for chosen in f.dimension_sets}
    found = {}
    for *said, labels, bucket, n, flagged, total, squares, sketch, hist, moments in rows:
        values = tuple(labels[name] for name in names[said[-1]])
        found[(*said, values, bucket)] = Window(
            n, flagged, total, squares, sketch, hist, moments if moments[0] else []
        )
    assert len(found) == len(rows)
    return found  # type: ignore[return-value]


def told_idle(client: Client, partitions: int, until_s: float) -> None:
    """What ``store`` writes while nothing waits."""
    columns = table("genai_progress").columns
    until_ns = round(until_s * SECOND_NS)
    rows = [
        ("store", f"genai.{topic}.v1", "1", partition, time.time_ns(), 0, 0, until_ns, 0)
        for topic in ("fragments", "operations", "evaluations")
        for partition in range(partitions)
    ]
    client.insert("genai_progress", rows, column_names=columns)
