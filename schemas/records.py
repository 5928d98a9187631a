"""The records that travel on ``genai.*`` topics; ``encoding`` has their batches.

64-bit integers and decimals are strings in JSON, ids lower-case hex, times ns since 1970. Readers
ignore unknown fields and default missing ones; within ``.v1`` a field is only ever
added, with a default.
"""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from schemas.evaluators import Evaluator, Label, Reason, State, Target

Int64 = Annotated[int, PlainSerializer(str, return_type=str, when_used="json")]
"""A 64-bit integer: a string in JSON, since JSON numbers lose bits beyond 2**53."""
TraceId = Annotated[str, Field(description="32 lower-case hex characters")]
SpanId = Annotated[str, Field(description="16 lower-case hex characters")]
Day = Annotated[str, Field(description="UTC, YYYY-MM-DD; 1970-01-01 if the time is not trusted")]


EvaluatorName = Annotated[Evaluator | str, Field(union_mode="left_to_right")]
"""One of ours, or for external evaluations the name that the application gave."""


_NO_NAMES: set[str] = set()


class Record(BaseModel):
    """Base of every record: frozen, unknown fields ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def drop_given_names(self) -> None:
        """Forget, here and in the records within, which fields were given rather than default.

        Pydantic keeps a set of their names with every object: two thirds of a decoded record's
        memory, and nothing asks for it. For records that are kept.
        """
        object.__setattr__(self, "__pydantic_fields_set__", _NO_NAMES)
        for value in self.__dict__.values():
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, Record):
                    one.drop_given_names()


# --- content -----------------------------------------------------------------------------------


class Part(Record):
    """One typed part of a message.

    ``text`` holds the readable text of a text or reasoning part, the arguments (JSON text) of a
    tool call, the result of a tool result. Media is a reference, never bytes.
    """

    type: Literal["text", "reasoning", "tool_call", "tool_result", "media", "other"]
    text: str = ""
    id: str = ""
    name: str = ""
    uri: str = ""
    mime_type: str = ""


class Message(Record):
    """One message of a conversation; ``role`` is system, user, assistant, tool or as sent."""

    role: str
    parts: tuple[Part, ...] = ()
    name: str = ""
    finish_reason: str = ""


class Document(Record):
    """One piece of evidence: a retrieved document or a tool's result."""

    text: str
    id: str = ""
    score: float | None = None


class Content(Record):
    """What was said, redacted. Part paths are ``system/0``, ``input/<message>/<part>``,
    ``output/<message>/<part>`` and ``document/<index>``: explanations and findings point by them.
    """

    system: tuple[Part, ...] = ()
    input: tuple[Message, ...] = ()
    output: tuple[Message, ...] = ()
    documents: tuple[Document, ...] = ()
    tools: tuple[str, ...] = Field(default=(), description="tool definitions, JSON text each")

    def parts(self) -> list[tuple[str, str]]:
        """All (path, text) pairs with text, in reading order."""
        found = [(f"system/{i}", part.text) for i, part in enumerate(self.system)]
        for side, messages in (("input", self.input), ("output", self.output)):
            found += [
                (f"{side}/{m}/{p}", part.text)
                for m, message in enumerate(messages)
                for p, part in enumerate(message.parts)
            ]
        found += [(f"document/{i}", document.text) for i, document in enumerate(self.documents)]
        return [(path, text) for path, text in found if text]

    def chars(self) -> int:
        """Total characters of text: how rich this content is."""
        return sum(len(text) for _, text in self.parts())


ContentState = Literal["captured", "not_captured", "external", "dropped_by_policy"]


class Finding(Record):
    """One piece of personal data or one secret that the redactor masked.

    ``hash`` is keyed (HMAC): equal values match within a trace, the value cannot be recovered.
    ``start`` and ``end`` are character offsets of the placeholder in the redacted part.
    """

    entity: str
    secret: bool
    part: str
    hash: str
    start: int
    end: int


# --- fragments and operations --------------------------------------------------------------------


LLM_KINDS = frozenset({"chat", "text_completion", "generate_content"})
"""Kinds of calls in which a model answers."""

ROLL_UP_KINDS = frozenset({"invoke_agent", "invoke_workflow", "create_agent", "chain", "plan"})
"""Kinds of spans that sum others."""


class Usage(Record):
    """Tokens as disjoint parts: their sum is the total. None is unknown, which is not 0."""

    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = Field(
        default=None, description="Written to be kept for an hour; not in cache_write_tokens"
    )
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    input_audio_tokens: int | None = None
    output_audio_tokens: int | None = None

    def known(self) -> bool:
        """Whether any count was reported."""
        counts = (self.input_tokens, self.output_tokens, self.input_audio_tokens)
        return any(count is not None for count in counts)


class Call(Record):
    """What one GenAI span says about its call, content apart. Empty string means not said."""

    service_name: str = ""
    service_version: str = ""
    environment: str = ""
    sdk_language: str = ""
    scope_name: str = ""
    scope_version: str = ""
    span_name: str = ""
    dialect: str
    kind: str = Field(description="OTel gen_ai.operation.name, e.g. chat, retrieval, execute_tool")
    provider: str = ""
    request_model: str = ""
    response_model: str = ""
    response_id: str = ""
    parameters: dict[str, str] = Field(default_factory=dict)
    start_ns: Int64
    end_ns: Int64
    time_to_first_token_ns: Int64 | None = None
    status: Literal["unset", "ok", "error"] = "unset"
    error_type: str = ""
    finish_reasons: tuple[str, ...] = ()
    usage: Usage = Usage()
    service_tier: str = Field(
        default="", description="price class the provider served, lower case: batch, flex, ..."
    )
    reported_cost_usd: Decimal | None = None
    cost_usd: Decimal | None = Field(default=None, description="by our prices; null is unknown")
    price_version: str = ""
    conversation_id: str = ""
    user_id: str = ""
    agent_name: str = ""
    tool_name: str = ""
    prompt_name: str = ""
    prompt_version: str = ""
    tags: tuple[str, ...] = ()
    content_state: ContentState = "not_captured"
    flags: tuple[str, ...] = Field(
        default=(), description="e.g. truncated, start_time_untrusted, unreadable:<attribute key>"
    )

    def rolls_up(self) -> bool:
        """Whether this span sums others (agents, workflows): its usage does not count."""
        return self.kind in ROLL_UP_KINDS


class Fragment(Record):
    """One span's or one log record's part of an operation, redacted and normalised.

    ``call`` is absent on log fragments; ``said`` holds what their record says of the call's fields
    (texts by field name), for where the span says nothing, and ``flags`` what is wrong with their
    content, as the call's flags do for a span. ``awaits_log`` says that the dialect
    logs its content and this span carries none. ``duplicate_of`` names the span that counts instead
    of this one where this span alone decides it; ``wraps`` is true where this span repeats what an
    LLM span below it reports, so that it counts only if no such child comes.
    """

    tenant: str
    trace_id: TraceId
    span_id: SpanId
    fragment_id: str = Field(description="named by its bytes, never by a Kafka position")
    signal: Literal["span", "log"]
    parent_span_id: str = ""
    day: Day
    time_ns: Int64
    call: Call | None = None
    said: dict[str, str] = Field(default_factory=dict)
    flags: tuple[str, ...] = ()
    content: Content = Content()
    findings: tuple[Finding, ...] = ()
    awaits_log: bool = False
    wraps: bool = False
    duplicate_of: str = ""


class Evidence(Record):
    """A document or tool result of the trace that an answer can be checked against."""

    span_id: SpanId
    part: str
    text: str
    id: str = ""


class Operation(Record):
    """One GenAI call that counts, assembled from its fragments."""

    tenant: str
    trace_id: TraceId
    span_id: SpanId
    parent_span_id: str = ""
    day: Day
    revision: Int64 = Field(description="count of distinct fragments << 32 | XOR of their ids")
    fragments: tuple[str, ...] = Field(description="ids of what it was computed from")
    duplicate_of: str = ""
    call: Call
    content: Content = Content()
    findings: tuple[Finding, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    evidence_state: Literal["complete", "late_context", "evicted"] = "complete"


# --- verdicts ------------------------------------------------------------------------------------


class Claim(Record):
    """One claim of an answer with the evidence that supports it best. Ranges, never text."""

    part: str
    start: int
    end: int
    score: float
    evidence_span_id: str = ""
    evidence_part: str = ""
    evidence_start: int = 0
    evidence_end: int = 0


class Explanation(Record):
    """What caused a verdict: the worst part and its character range in the stored text."""

    part: str = ""
    start: int = 0
    end: int = 0
    claims: tuple[Claim, ...] = ()
    entities: tuple[str, ...] = ()
    decoded: str = Field(default="", description="how the part was read: '', base64, hex")


class Evaluation(Record):
    """One evaluator's result on one target of one operation (OTel gen_ai.evaluation.result).

    Identity: (tenant, trace_id, span_id, evaluator, model_version, target). ``service_name``,
    ``environment`` and ``model`` repeat the operation's, so that rules need no join. One that an
    application sent (source ``external``) may have any evaluator name; its number and label are
    ``reported_*``, never ``score`` and ``label``, for their scale is the sender's.
    """

    tenant: str
    trace_id: TraceId
    span_id: SpanId
    evaluator: EvaluatorName
    model_version: str
    target: Target
    revision: Int64 = Field(description="state rank << 62 | knowledge << 46 | scored_at in ms")
    day: Day
    state: State
    reason: Reason = Reason.NONE
    score: float | None = Field(default=None, description="in [0, 1], higher is worse")
    label: Label = Label.PASS
    threshold_version: str = ""
    source: Literal["ours", "external"] = "ours"
    explanation: Explanation = Explanation()
    input_hash: str = Field(default="", description="of the exact redacted texts judged")
    evaluator_model: str = ""
    windows: int = Field(default=0, description="of text, or claim and evidence pairs, scored")
    truncated: bool = Field(default=False, description="part of the text was not judged")
    measured: float | None = Field(
        default=None, description="of evaluations by rules, in the unit of their safe interval"
    )
    cascade_stage: str = ""
    latency_ns: Int64 = 0
    scored_at_ns: Int64 = 0
    span_end_ns: Int64 = 0
    service_name: str = ""
    environment: str = ""
    kind: str = ""
    model: str = ""
    reported_score: float | None = Field(default=None, description="as an application sent it")
    reported_label: str = ""
    response_id: str = Field(
        default="", description="gen_ai.response.id that an external one names"
    )
    mode: Literal["active", "shadow"] = Field(
        default="active", description="a shadow's verdict is for comparison and alerts nobody"
    )

    @property
    def flagged(self) -> bool:
        """True for ``warn`` and ``page``."""
        return self.label is not Label.PASS


class Embedding(Record):
    """Where the newest user message of a sampled call lies for an encoder: numbers, no content.

    Identity: (tenant, trace_id, span_id, encoder). ``revision`` is the operation's, so that a
    repeat says the same.
    """

    tenant: str
    trace_id: TraceId
    span_id: SpanId
    encoder: str = Field(description="version of the encoder and of the projection")
    revision: Int64
    day: Day
    vector: tuple[float, ...] = Field(description="the embedding at length 1, projected")
    span_end_ns: Int64 = 0
    service_name: str = ""
    environment: str = ""
    model: str = ""


class LedgerRow(Record):
    """The books of one raw message: items in = out + filtered + dead.

    Identity: (stage, topic, incarnation, partition, offset, tenant).
    """

    tenant: str
    stage: str
    topic: str
    incarnation: str = "1"
    partition: int
    offset: Int64
    timestamp_ms: Int64
    items_in: int
    items_out: int
    filtered: int
    dead: int


def encode_record(record: Record) -> bytes:
    """JSON of one record, every field written out."""
    return record.model_dump_json().encode()
