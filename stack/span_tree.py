"""A trace as a tree of its spans, with durations, tokens, cost, flags and verdicts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from clickhouse_connect.driver.client import Client
from rich.text import Text

from stack.printable import counted, printable

_COLUMNS = (
    "tenant", "span_id", "parent_span_id", "start_time", "duration_ns", "service_name",
    "span_name", "status_code", "kind", "model", "duplicate_of", "rolls_up", "input_tokens",
    "output_tokens", "cost_usd", "content_state", "verdicts",
)  # fmt: skip
QUERY = (
    f"SELECT {', '.join(_COLUMNS)} FROM v_trace WHERE trace_id = {{trace_id:String}}"  # noqa: S608
    " AND {tenant:String} IN ('', tenant) ORDER BY tenant, start_time, span_id"
)
_STYLES = {"page": "bold red", "warn": "yellow", "pass": "green"}
_NS_PER_MS = 1_000_000
_DEEPEST = 40
"""Levels that are indented; below, the level is written, since no screen is that wide."""
_SERVICES_SHOWN = 10


@dataclass(slots=True)
class Node:
    """One span and those below it, in order of time."""

    span: Mapping[str, Any]
    below: list["Node"] = field(default_factory=list)


def parameters(trace_id: str, tenant: str) -> dict[str, str]:
    """Of :data:`QUERY`; an empty tenant is every one."""
    return {"trace_id": trace_id, "tenant": tenant}


def read_trace(client: Client, trace_id: str, tenant: str = "") -> list[dict[str, Any]]:
    """Spans of a trace by column name, a tenant's together, oldest first.

    Raises clickhouse-connect's errors.
    """
    rows = client.query(QUERY, parameters=parameters(trace_id, tenant)).result_rows
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]


def roots(spans: Sequence[Mapping[str, Any]]) -> list[Node]:
    """The trees of one tenant's trace: spans without a parent at hand are roots.

    Of a circle (broken ids) one span becomes a root, so that none is left out.
    """
    nodes = {span["span_id"]: Node(span) for span in spans}
    top: list[Node] = []
    placed: set[str] = set()
    for start in nodes:
        path: dict[str, Node] = {}
        span_id = start
        while span_id in nodes and span_id not in placed and span_id not in path:
            path[span_id] = nodes[span_id]
            span_id = path[span_id].span["parent_span_id"]
        placed.update(path)
        for own_id, node in path.items():
            # The span where the way up came back to itself is where the circle is cut.
            if own_id == span_id or node.span["parent_span_id"] not in nodes:
                top.append(node)
    first = {id(node) for node in top}
    for node in nodes.values():
        if id(node) not in first:
            nodes[node.span["parent_span_id"]].below.append(node)
    return top


def draw(trace_id: str, spans: Sequence[Mapping[str, Any]], limit: int = 0) -> Iterator[Text]:
    """Lines of the trace for a terminal, at most ``limit`` spans (0: all), then how many are left.

    Spans of several tenants with the same trace id are apart, each under its tenant's name.
    """
    tenants = [(name, list(group)) for name, group in groupby(spans, lambda s: s["tenant"])]
    left = limit or len(spans)
    for tenant, own in tenants:
        start: datetime = min(span["start_time"] for span in own)
        of_tenant = f" of tenant {printable(tenant)}" if len(tenants) > 1 else ""
        yield Text.assemble(
            (f"trace {trace_id}{of_tenant}", "bold"),
            f"  {start:%Y-%m-%d %H:%M:%S} UTC  {counted(len(own), 'span')}  {_services(own)}",
        )
        yield from _lines(roots(own), start, left)
        left -= min(left, len(own))
    if limit and len(spans) > limit:
        yield Text(f"{len(spans) - limit:,} more spans were left out (--limit)", style="yellow")


def _services(spans: Sequence[Mapping[str, Any]]) -> str:
    names = sorted({span["service_name"] for span in spans})
    more = f" and {len(names) - _SERVICES_SHOWN} more" if len(names) > _SERVICES_SHOWN else ""
    return ", ".join(map(printable, names[:_SERVICES_SHOWN])) + more


def _lines(top: Sequence[Node], start: datetime, most: int) -> Iterator[Text]:
    """Spans in the order of the tree, each after what its ancestors' branches draw."""
    # A frame: a node, the guides before it, its level, whether it is its parent's last.
    frames = [(node, "", 1, node is top[-1]) for node in reversed(top)]
    while frames and most > 0:
        most -= 1
        node, guides, level, last = frames.pop()
        deep = level > _DEEPEST
        branch, below = ("└── ", "    ") if last else ("├── ", "│   ")
        told = f"(level {level}) " if deep else branch
        yield Text.assemble(guides, told).append_text(_line(node.span, start))
        inner = guides if deep else guides + below
        for line in _verdict_lines(node.span):
            yield Text(f"{inner}{'│   ' if node.below else '    '}").append_text(line)
        frames += [
            (child, inner, level + 1, child is node.below[-1]) for child in reversed(node.below)
        ]


def _line(span: Mapping[str, Any], start: datetime) -> Text:
    after_ms = (span["start_time"] - start).total_seconds() * 1000
    duration = f"{span['duration_ns'] / _NS_PER_MS:,.1f} ms"
    parts: list[str | tuple[str, str]] = [
        (printable(span["span_name"]) or "(no name)", "bold" if span["kind"] else ""),
        f"  +{after_ms:,.0f} ms  {duration}",
    ]
    if span["status_code"] == "Error":
        parts.append(("  error", "red"))
    if span["kind"]:
        parts.append((f"  {printable(span['kind'])} {printable(span['model'])}".rstrip(), "cyan"))
        if span["input_tokens"] is not None or span["output_tokens"] is not None:
            parts.append(f"  {span['input_tokens'] or 0} → {span['output_tokens'] or 0} tokens")
        if span["cost_usd"] is not None and not span["rolls_up"]:
            parts.append(f"  ${span['cost_usd'].normalize():f}")
        if span["duplicate_of"]:
            parts.append((f"  counted as {span['duplicate_of']}", "dim"))
        elif span["content_state"] not in ("", "captured"):
            parts.append((f"  content {span['content_state']}", "dim"))
    parts.append((f"  {span['span_id']}", "dim"))
    return Text.assemble(*parts)


def _verdict_lines(span: Mapping[str, Any]) -> Iterator[Text]:
    """One line with the verdicts that were reached; others say nothing about the call."""
    shown = [v for v in span["verdicts"] if v[2] == "ok" or v[2] == "failed"]
    if not shown:
        return
    line = Text("verdicts")
    for evaluator, label, state, score in shown:
        told = f"{evaluator} {label} {score:.2f}" if state == "ok" else f"{evaluator} {state}"
        line.append("  ").append(told, style=_STYLES.get(label, "") if state == "ok" else "dim")
    yield line
