"""A trace as a tree of its spans, with durations, tokens, cost, flags and verdicts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from clickhouse_connect.driver.client import Client
from rich.text import Text
from rich.tree import Tree

_COLUMNS = (
    "tenant", "span_id", "parent_span_id", "start_time", "duration_ns", "service_name",
    "span_name", "status_code", "kind", "model", "duplicate_of", "rolls_up", "input_tokens",
    "output_tokens", "cost_usd", "content_state", "verdicts",
)  # fmt: skip
_QUERY = (
    f"SELECT {', '.join(_COLUMNS)} FROM v_trace WHERE trace_id = {{trace_id:String}}"  # noqa: S608
    " ORDER BY start_time, span_id"
)
_STYLES = {"page": "bold red", "warn": "yellow", "pass": "green"}
_NS_PER_MS = 1_000_000


@dataclass(slots=True)
class Node:
    """One span and those below it, in order of time."""

    span: Mapping[str, Any]
    below: list["Node"] = field(default_factory=list)


def read_trace(client: Client, trace_id: str, tenant: str = "") -> list[dict[str, Any]]:
    """Spans of a trace by column name, oldest first; of one tenant, if one is named.

    Raises clickhouse-connect's errors.
    """
    rows = client.query(_QUERY, parameters={"trace_id": trace_id}).result_rows
    spans = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    return [span for span in spans if tenant in ("", span["tenant"])]


def roots(spans: Sequence[Mapping[str, Any]]) -> list[Node]:
    """The trace's trees: spans without a parent at hand are roots.

    A span that is its own ancestor (broken ids) becomes a root too, so that none is left out.
    """
    nodes = {(span["tenant"], span["span_id"]): Node(span) for span in spans}
    top: list[Node] = []
    for (tenant, span_id), node in nodes.items():
        parent = nodes.get((tenant, node.span["parent_span_id"]))
        if parent is None or _circles(nodes, tenant, span_id):
            top.append(node)
        else:
            parent.below.append(node)
    return top


def _circles(nodes: Mapping[tuple[str, str], Node], tenant: str, span_id: str) -> bool:
    seen = {span_id}
    node = nodes.get((tenant, span_id))
    while node is not None:
        parent_id = node.span["parent_span_id"]
        if parent_id in seen:
            return True
        seen.add(parent_id)
        node = nodes.get((tenant, parent_id))
    return False


def draw(trace_id: str, spans: Sequence[Mapping[str, Any]]) -> Tree:
    """The trace for a terminal; every text is escaped."""
    start: datetime = min(span["start_time"] for span in spans)
    services = sorted({span["service_name"] for span in spans})
    tree = Tree(
        Text.assemble(
            (f"trace {trace_id}", "bold"),
            f"  {start:%Y-%m-%d %H:%M:%S} UTC  {len(spans)} spans  {', '.join(services)}",
        )
    )
    stack: list[tuple[Tree, Node]] = [(tree, node) for node in reversed(roots(spans))]
    while stack:
        branch, node = stack.pop()
        drawn = branch.add(_line(node.span, start))
        for line in _verdict_lines(node.span):
            drawn.add(line)
        stack += [(drawn, child) for child in reversed(node.below)]
    return tree


def _line(span: Mapping[str, Any], start: datetime) -> Text:
    after_ms = (span["start_time"] - start).total_seconds() * 1000
    duration = f"{span['duration_ns'] / _NS_PER_MS:,.1f} ms"
    parts: list[str | tuple[str, str]] = [
        (span["span_name"] or "(no name)", "bold" if span["kind"] else ""),
        f"  +{after_ms:,.0f} ms  {duration}",
    ]
    if span["status_code"] == "Error":
        parts.append(("  error", "red"))
    if span["kind"]:
        parts.append((f"  {span['kind']} {span['model']}".rstrip(), "cyan"))
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
