"""The topology on one page: seven stages, each its own Faust App and consumer group.

::

    otlp_spans, otlp_spans.gateway        otlp_logs, otlp_logs.gateway
       │                                     │
       ├─► traces      every span, redacted ─┼──────────────► ClickHouse otel_traces
       │                                     │
       └─► operations  decode, map dialects, redact, price; evaluations sent by applications
             │  genai.fragments.v1 ──────────────┬─ genai.ledger.v1 ────────┐
             ▼                                   └──────────────────────────┤
           assemble    join fragments into calls, by trace                  │
             │  genai.operations.v1 ────────────────────────────────────────┤
             ▼                                                              │
           evaluate    ONNX and deterministic evaluators                    ├─► store ─► ClickHouse
             │  genai.evaluations.v1 ───────────────────────────────────────┤
             ▼                                                              │
           watch       fast-path rules ─ genai.alert_signals.v1 ─┐          │
             │   ▲───────────────────────────────────────────────┘          │
             │  genai.alert_transitions.v1 ─────────────────────────────────┤
             ▼                                                              │
           notify      receivers ─ genai.alert_deliveries.v1 ───────────────┤
    genai.dead_letters.v1 (whatever any stage could not process) ───────────┘

A worker process runs one stage; its group is ``streamgauge.<stage>``. Stages share nothing but
topics: each lags, scales and fails alone.
"""

from dataclasses import dataclass

from schemas.config import Config
from schemas.protocols import Clock, Outputs, Stage, TableSink
from schemas.topics import (
    ALERT_DELIVERIES,
    ALERT_SIGNALS,
    ALERT_TRANSITIONS,
    DEAD_LETTERS,
    EMBEDDINGS,
    EVALUATIONS,
    FRAGMENTS,
    GROUP_PREFIX,
    LEDGER,
    OPERATIONS,
    RAW_LOGS,
    RAW_SPANS,
    Topic,
)


@dataclass(frozen=True, slots=True)
class StageSpec:
    """A stage's place in the flow. Every stage may also write dead letters."""

    name: str
    consumes: tuple[Topic, ...]
    produces: tuple[Topic, ...] = ()
    writes_tables: bool = False

    @property
    def group(self) -> str:
        """Consumer group, and Faust App id."""
        return GROUP_PREFIX + self.name


STAGES: tuple[StageSpec, ...] = (
    StageSpec("traces", RAW_SPANS, writes_tables=True),
    StageSpec("operations", (*RAW_SPANS, *RAW_LOGS), (FRAGMENTS, EVALUATIONS, LEDGER)),
    StageSpec("assemble", (FRAGMENTS,), (OPERATIONS,)),
    StageSpec("evaluate", (OPERATIONS,), (EVALUATIONS, EMBEDDINGS)),
    StageSpec(
        "store",
        (
            FRAGMENTS,
            OPERATIONS,
            EVALUATIONS,
            EMBEDDINGS,
            LEDGER,
            ALERT_TRANSITIONS,
            ALERT_DELIVERIES,
            DEAD_LETTERS,
        ),
        writes_tables=True,
    ),
    StageSpec("watch", (EVALUATIONS, ALERT_SIGNALS), (ALERT_SIGNALS, ALERT_TRANSITIONS)),
    StageSpec("notify", (ALERT_TRANSITIONS,), (ALERT_DELIVERIES,)),
)
"""In the order of the flow."""


def stage_spec(name: str) -> StageSpec:
    """The stage of that name. Raises ``ValueError`` naming those there are."""
    for spec in STAGES:
        if spec.name == name:
            return spec
    raise ValueError(f"no stage {name!r}: there are {', '.join(spec.name for spec in STAGES)}")


def build_stage(
    name: str, config: Config, outputs: Outputs, clock: Clock, sink: TableSink | None = None
) -> Stage:
    """Make one stage, importing only what it needs (an evaluator's models are large).

    ``sink`` is required by the stages that write tables. Raises ``ValueError`` for an unknown name
    or a missing sink, and whatever the stage's own checks refuse.
    """
    spec = stage_spec(name)
    if spec.writes_tables:
        if sink is None:
            raise ValueError(f"stage {name} needs a table sink")
        return _table_stage(name, config, outputs, clock, sink)
    if name == "operations":
        from processors.operations.stage import OperationsStage

        return OperationsStage(config, outputs, clock)
    if name == "assemble":
        from processors.assemble.stage import AssembleStage

        return AssembleStage(config, outputs, clock)
    if name == "evaluate":
        from processors.evaluate.stage import EvaluateStage

        return EvaluateStage(config, outputs, clock)
    if name == "watch":
        from processors.watch.stage import WatchStage

        return WatchStage(config, outputs, clock)
    from processors.notify.stage import NotifyStage

    return NotifyStage(config, outputs, clock)


def _table_stage(
    name: str, config: Config, outputs: Outputs, clock: Clock, sink: TableSink
) -> Stage:
    if name == "traces":
        from processors.traces import TracesStage

        return TracesStage(config, outputs, clock, sink)
    from processors.store import StoreStage

    return StoreStage(config, outputs, clock, sink)
