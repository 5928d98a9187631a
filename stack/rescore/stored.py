"""Stored calls as operations again: ``genai_operations`` beside what was said, redacted as stored.

Evidence is collected among the spans of the trace as ``assemble`` does. What the policy for storage
masked beyond that for scoring is masked here: a verdict may differ for that alone, and its
``input_hash`` says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson
from clickhouse_connect.driver.client import Client

from processors.assemble.join import Offer, evidence_among, evidence_of
from schemas.evaluators import Evaluator
from schemas.records import (
    LLM_KINDS,
    Call,
    Content,
    Document,
    Evidence,
    Message,
    Operation,
    Part,
)
from stack.reprice import CALL_TIME, Range

CALLS_A_PAGE = 4_000
"""Each page is a statement over its day, which judging so many takes much longer than."""
_DUE_SQL = f"""
SELECT o.tenant, o.trace_id, o.span_id, v.label, v.input_hash
FROM genai_operations AS o FINAL
LEFT ANY JOIN
(
  SELECT tenant, trace_id, span_id, label, input_hash FROM v_verdicts
  WHERE day = {{day:Date}} AND evaluator = {{evaluator:String}} AND target = 'operation'
    AND state = 'ok'
) AS v ON o.tenant = v.tenant AND o.trace_id = v.trace_id AND o.span_id = v.span_id
WHERE o.day = {{day:Date}} AND o.duplicate_of = ''
  AND {CALL_TIME} >= {{begin:DateTime64(9, 'UTC')}} AND {CALL_TIME} < {{end:DateTime64(9, 'UTC')}}
  AND ({{tenant:String}} = '' OR o.tenant = {{tenant:String}})
  AND (o.tenant, o.trace_id, o.span_id) NOT IN
  (
    SELECT tenant, trace_id, span_id FROM genai_evaluations FINAL
    WHERE day = {{day:Date}} AND evaluator = {{evaluator:String}}
      AND model_version = {{version:String}} AND target = 'operation'
      AND state IN ('ok', 'not_applicable')
  )
  AND (o.tenant, o.trace_id, o.span_id) > ({{after_tenant:String}}, {{after_trace:String}},
    {{after_span:String}})
ORDER BY o.tenant, o.trace_id, o.span_id
LIMIT {CALLS_A_PAGE}
SETTINGS join_use_nulls = 0, distributed_product_mode = 'global'
"""  # noqa: S608 - constants
_CALL = ("dialect", "kind", "service_name", "environment", "request_model", "response_model",
         "content_state")  # fmt: skip
_CONTENT = ("system", "input_messages", "output_messages", "documents")
_SPANS_SQL = f"""
SELECT o.tenant, o.trace_id, o.span_id, toString(o.day), o.revision, o.fragments, o.evidence_state,
  toUnixTimestamp64Nano(o.start_time), toUnixTimestamp64Nano(o.end_time),
  {", ".join(f"toString(o.{name})" for name in _CALL)},
  {", ".join(f"c.{name}" for name in _CONTENT)}
FROM genai_operations AS o FINAL
LEFT ANY JOIN
(
  SELECT tenant, trace_id, span_id, {", ".join(_CONTENT)} FROM v_content
  WHERE trace_id IN {{traces:Array(String)}} AND tenant IN {{tenants:Array(String)}}
) AS c ON o.tenant = c.tenant AND o.trace_id = c.trace_id AND o.span_id = c.span_id
WHERE o.trace_id IN {{traces:Array(String)}} AND o.tenant IN {{tenants:Array(String)}}
SETTINGS join_use_nulls = 0, do_not_merge_across_partitions_select_final = 1
"""  # noqa: S608 - constants
Key = tuple[str, str, str]
"""(tenant, trace id, span id)."""


@dataclass(frozen=True, slots=True)
class Due:
    """A call to be judged, and what the active version says of it (empty: nothing)."""

    key: Key
    label: str
    input_hash: str


def due(
    client: Client, wanted: Range, day: date, evaluator: Evaluator, version: str
) -> Iterator[list[Due]]:
    """Calls of a day that a version has not judged, page by page.

    Raises clickhouse-connect's errors.
    """
    after: Key = ("", "", "")
    while True:
        parameters = {
            "day": day, "begin": wanted.begin, "end": wanted.end, "tenant": wanted.tenant,
            "evaluator": evaluator.value, "version": version, "after_tenant": after[0],
            "after_trace": after[1], "after_span": after[2],
        }  # fmt: skip
        rows = client.query(_DUE_SQL, parameters=parameters).result_rows
        if not rows:
            return
        page = [
            Due((str(tenant), str(trace_id), str(span_id)), str(label), str(input_hash))
            for tenant, trace_id, span_id, label, input_hash in rows
        ]
        yield page
        after = page[-1].key


def operations(client: Client, keys: Sequence[Key], evidence_bytes: int) -> Iterator[Operation]:
    """The operations of these calls, with their content and evidence as stored."""
    parameters = {
        "traces": sorted({trace_id for _, trace_id, _ in keys}),
        "tenants": sorted({tenant for tenant, _, _ in keys}),
    }
    rows = client.query(_SPANS_SQL, parameters=parameters).result_rows
    spans = {one.key: one for one in map(_Span.of, rows)}
    offers: dict[tuple[str, str], list[Offer]] = {}
    for one in spans.values():
        if evidence := evidence_of(one.key[2], one.call.kind, one.content):
            offer = Offer(one.key[2], one.call.end_ns, evidence)
            offers.setdefault(one.key[:2], []).append(offer)
    for key in keys:
        if (span := spans.get(key)) is not None:
            yield span.operation(offers.get(key[:2], []), evidence_bytes)


@dataclass(frozen=True, slots=True)
class _Span:
    """One stored span with what was said."""

    key: Key
    day: str
    revision: int
    fragments: tuple[str, ...]
    evidence_state: Any
    call: Call
    content: Content

    @classmethod
    def of(cls, row: Sequence[Any]) -> "_Span":
        tenant, trace_id, span_id, day, revision, fragments, evidence_state, start, end = row[:9]
        said = dict(zip(_CALL, row[9 : 9 + len(_CALL)], strict=True))
        return cls(
            (str(tenant), str(trace_id), str(span_id)),
            day,
            int(revision),
            tuple(fragments),
            str(evidence_state),
            Call(start_ns=int(start), end_ns=int(end), **said),
            _content(dict(zip(_CONTENT, row[9 + len(_CALL) :], strict=True))),
        )

    def operation(self, offers: Sequence[Offer], evidence_bytes: int) -> Operation:
        """With the evidence that other spans of the trace offer a call of a model."""
        tenant, trace_id, span_id = self.key
        evidence: tuple[Evidence, ...] = ()
        cut = False
        if self.call.kind in LLM_KINDS:
            evidence, cut = evidence_among(offers, span_id, self.call.end_ns, evidence_bytes)
        return Operation(
            tenant=tenant,
            trace_id=trace_id,
            span_id=span_id,
            day=self.day,
            revision=self.revision,
            fragments=self.fragments,
            call=self.call,
            content=self.content,
            evidence=evidence,
            evidence_state="evicted" if cut else self.evidence_state,
        )


def _content(stored: dict[str, str]) -> Content:
    """Typed content of the JSON that is stored; empty where there is none."""

    def items(name: str) -> list[Any]:
        found = orjson.loads(stored[name]) if stored[name] else []
        return found if isinstance(found, list) else []

    return Content(
        system=tuple(Part.model_validate(item) for item in items("system")),
        input=tuple(Message.model_validate(item) for item in items("input_messages")),
        output=tuple(Message.model_validate(item) for item in items("output_messages")),
        documents=tuple(Document.model_validate(item) for item in items("documents")),
    )
