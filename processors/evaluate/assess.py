"""A model measured on labelled rows, judged as the line would judge them.

Each row becomes an operation: a text is a user's message; a response is the answer to its question,
with its context as the retrieved document. It is redacted, read, cut and scored by the line's own
code, and its score is that of the verdict on the operation. An answer that claims nothing (a
question, a greeting) is judged whole here, so that every row has a score.
"""

import asyncio
import gzip
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from processors.evaluate.claims import CLAIM_WORDS, ClaimText, plan_pairs
from processors.evaluate.context import Prepared, evidence_sources, prepare
from processors.evaluate.engine import Engine
from processors.evaluate.graphs import Model
from processors.evaluate.judge import TEXT_EVALUATORS, Judge
from processors.evaluate.metrics import (
    arrays,
    auroc,
    average_precision,
    rates,
    recall_at_false_positive_rate,
)
from processors.operations.content import redact_content
from processors.operations.redact import Redactor
from schemas.config import EvaluateConfig
from schemas.evaluators import Evaluator, State
from schemas.records import Call, Content, Document, Message, Operation, Part

ROWS_AT_ONCE = 256
FALSE_POSITIVE_LIMIT = 0.01
_KEY = b"models eval: placeholders of no stack"
_TRACE, _SPAN, _DAY = "0" * 31 + "1", "0" * 15 + "1", "1970-01-01"
_ANSWER = "output/0/0"

Progress = Callable[[int, int], None]


class DataError(ValueError):
    """A data file cannot be used; the text names file, line and field."""


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled row: ``text``, or ``response`` with its ``context`` and perhaps a question."""

    label: int
    text: str = ""
    context: str = ""
    response: str = ""
    question: str = ""


@dataclass(frozen=True, slots=True)
class Assessment:
    """Figures over all rows; rates are at the manifest's warn threshold. None is not defined."""

    rows: int
    auroc: float | None
    average_precision: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    false_positive_rate: float | None
    recall_at_1pct_fpr: float | None
    texts_per_s: float

    def as_json(self) -> dict[str, Any]:
        """The figures by name, rounded to 4 decimals."""
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def read_rows(path: Path, evaluator: Evaluator) -> list[Row]:
    """Rows of a JSON Lines file, also gzip. Raises :class:`DataError`, ``OSError``."""
    rows = list(_rows(path, evaluator))
    if not rows:
        raise DataError(f"{path}: no rows")
    return rows


def _rows(path: Path, evaluator: Evaluator) -> Iterator[Row]:
    wanted = ("context", "response") if evaluator is Evaluator.HALLUCINATION else ("text",)
    value = path.read_bytes()
    if value.startswith(b"\x1f\x8b"):
        try:
            value = gzip.decompress(value)
        except (OSError, EOFError) as error:
            raise DataError(f"{path}: broken gzip: {error}") from None
    for number, line in enumerate(value.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise DataError(f"{path}: line {number}: not JSON: {error}") from None
        if not isinstance(found, dict):
            raise DataError(f"{path}: line {number}: not an object")
        for name in wanted:
            if not isinstance(found.get(name), str):
                raise DataError(f"{path}: line {number}: {name}: a string is needed")
        if found.get("label") not in (0, 1):
            raise DataError(f"{path}: line {number}: label: 0 or 1 is needed")
        question = found.get("question") or ""
        if not isinstance(question, str):
            raise DataError(f"{path}: line {number}: question: a string is needed")
        texts = {name: found[name] for name in wanted}
        yield Row(label=int(found["label"]), question=question, **texts)


def operation_of(row: Row, redactor: Redactor) -> Operation:
    """The row as a redacted operation."""
    asked = row.text or row.question
    content = Content(
        input=(_message("user", asked),) if asked else (),
        output=(_message("assistant", row.response),) if row.response else (),
        documents=(Document(text=row.context),) if row.context else (),
    )
    safe, findings = redact_content(content, redactor, "", _TRACE)
    call = Call(dialect="rows", kind="chat", start_ns=0, end_ns=0, content_state="captured")
    return Operation(
        tenant="", trace_id=_TRACE, span_id=_SPAN, day=_DAY, revision=1, fragments=(_SPAN,),
        call=call, content=safe, findings=tuple(findings),
    )  # fmt: skip


def _message(role: str, text: str) -> Message:
    return Message(role=role, parts=(Part(type="text", text=text),))


def _with_a_claim(prepared: Prepared, operation: Operation, engine: Engine, pairs: int) -> Prepared:
    """The answer as one claim where none was found in it."""
    if prepared.support.pairs or not operation.content.output:
        return prepared
    text = operation.content.output[0].parts[0].text
    claim = ClaimText(_ANSWER, 0, len(text), " ".join(text.split()[:CLAIM_WORDS]))
    sources = evidence_sources(operation, prepared.passages, engine.text_limit_chars)
    absent = dict(prepared.absent)
    absent.pop(Evaluator.HALLUCINATION, None)
    plan = plan_pairs([claim], sources, pairs)
    return replace(prepared, support=plan, absent=absent) if plan.pairs else prepared


class Assessor:
    """Scores rows with one model. Use within ``async with``."""

    def __init__(self, model: Model, config: EvaluateConfig) -> None:
        self._config = config.model_copy(update={"cache_entries": 0})
        self._model = model
        self._engine = Engine(model, self._config)
        self._judge = Judge(self._engine)
        self._redactor = Redactor(_KEY)

    async def __aenter__(self) -> "Assessor":
        self._engine.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._engine.close()

    async def scores(
        self, rows: Sequence[Row], evaluator: Evaluator, progress: Progress | None = None
    ) -> list[float]:
        """One score a row, 0.0 where there is nothing to judge.

        Raises ``ValueError`` naming the row (from 1) that the model could not judge.
        """
        found: list[float] = []
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[start : start + ROWS_AT_ONCE]
            scored = await asyncio.gather(*(self._score(row, evaluator) for row in part))
            for number, score in enumerate(scored, start + 1):
                if score is None:
                    raise ValueError(f"row {number}: the model gives no score")
                found.append(score)
            if progress is not None:
                progress(len(found), len(rows))
        return found

    async def _score(self, row: Row, evaluator: Evaluator) -> float | None:
        operation = operation_of(row, self._redactor)
        pairs = self._config.max_pairs
        prepared = prepare(operation, self._engine.text_limit_chars, pairs)
        if evaluator is Evaluator.HALLUCINATION:
            prepared = _with_a_claim(prepared, operation, self._engine, pairs)
        verdict = (await self._judge.verdicts(operation, prepared, [evaluator]))[evaluator][-1]
        return 0.0 if verdict.state is State.NOT_APPLICABLE else verdict.score

    async def assess(
        self, rows: Sequence[Row], evaluator: Evaluator, progress: Progress | None = None
    ) -> Assessment:
        """Figures over the rows."""
        started = time.perf_counter()
        found = await self.scores(rows, evaluator, progress)
        seconds = time.perf_counter() - started
        threshold = self._model.manifest.tasks[evaluator.value].thresholds.warn
        return assessment(found, [row.label for row in rows], threshold, len(rows) / seconds)


def assessment(
    scores: Sequence[float], labels: Sequence[int], threshold: float, texts_per_s: float
) -> Assessment:
    """Figures of scores and labels."""
    values, truth = arrays(scores, labels)
    at_warn = rates(values, truth, threshold)
    return Assessment(
        rows=len(scores),
        auroc=auroc(values, truth),
        average_precision=average_precision(values, truth),
        f1=at_warn.f1,
        precision=at_warn.precision,
        recall=at_warn.recall,
        false_positive_rate=at_warn.false_positive_rate,
        recall_at_1pct_fpr=recall_at_false_positive_rate(values, truth, FALSE_POSITIVE_LIMIT),
        texts_per_s=texts_per_s,
    )


def evaluator_of(model: Model, name: str) -> Evaluator:
    """The evaluator of that name, which the model must have a task for. Raises ``ValueError``."""
    known = [e for e in (*TEXT_EVALUATORS, Evaluator.HALLUCINATION) if e in model.manifest.tasks]
    for evaluator in known:
        if evaluator.value == name:
            return evaluator
    there = ", ".join(known)
    raise ValueError(f"model {model.manifest.name} has no task {name!r}: there are {there}")


BOOTSTRAP_SAMPLES = 1000


def compare(
    a: tuple[Sequence[float], float],
    b: tuple[Sequence[float], float],
    labels: Sequence[int],
    seed: int,
) -> dict[str, Any]:
    """Figures of two models over the same rows, each given by its scores and warn threshold.

    ``difference`` is b - a with the 95% interval of a bootstrap over rows (Efron 1979), the same
    rows for both; null where a figure is not defined.
    """
    sides = [(*arrays(scores, labels), threshold) for scores, threshold in (a, b)]
    found: dict[str, Any] = {"rows": len(labels)}
    measures = {
        "auroc": lambda s, y, _: auroc(s, y),
        "average_precision": lambda s, y, _: average_precision(s, y),
        "f1": lambda s, y, t: rates(s, y, t).f1,
        "recall": lambda s, y, t: rates(s, y, t).recall,
        "false_positive_rate": lambda s, y, t: rates(s, y, t).false_positive_rate,
    }
    rng = np.random.default_rng(seed)
    samples = [rng.integers(0, len(labels), len(labels)) for _ in range(BOOTSTRAP_SAMPLES)]
    for name, measure in measures.items():
        first, second = (measure(s, y, t) for s, y, t in sides)
        entry: dict[str, Any] = {"a": first, "b": second, "difference": None, "interval": None}
        if first is not None and second is not None:
            drawn = [[measure(s[i], y[i], t) for s, y, t in sides] for i in samples]
            gaps = [two - one for one, two in drawn if one is not None and two is not None]
            low, high = np.quantile(gaps, (0.025, 0.975))
            entry |= {"difference": second - first, "interval": [float(low), float(high)]}
        found[name] = entry
    return found
