"""Scores to verdicts: one per target for its worst part, and one for the operation. Pure.

A verdict is ``ok`` if it is flagged, or if nothing that applies to it failed; else it takes the
state of what failed. Personal data and secrets are verdicts too: score 1 when found. Their labels:
by the safe interval of how many were found (shipped: ``warn`` for any), and ``page`` for a secret
that the answer leaked, that is, one in the output whose keyed hash is nowhere in the input.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from processors.evaluate.claims import Chunk, ClaimText
from processors.evaluate.context import Prepared, ReadPassage, target_of
from processors.evaluate.scores import TextScores
from schemas.evaluators import Evaluator, Label, Reason, State, Target
from schemas.identity import text_hash
from schemas.intervals import Interval
from schemas.manifest import Thresholds
from schemas.records import Claim, Explanation, Finding

_LABEL_RANK = {Label.PASS: 0, Label.WARN: 1, Label.PAGE: 2}
_JUDGED_TARGETS = (Target.INPUT, Target.OUTPUT, Target.TOOL_RESULT, Target.DOCUMENT)


NO_PLACE = Explanation()


@dataclass(frozen=True, slots=True)
class Verdict:
    """One evaluation before it is stamped with identity, times and versions."""

    target: Target
    state: State
    reason: Reason = Reason.NONE
    score: float | None = None
    label: Label = Label.PASS
    explanation: Explanation = NO_PLACE
    input_hash: str = ""
    windows: int = 0
    truncated: bool = False
    cleared: bool = False
    """Whether the cascade's first pass decided."""
    measured: float | None = None
    """Of evaluations by rules, in the unit of their safe interval."""


def label(score: float, thresholds: Thresholds) -> Label:
    """The label of a score."""
    if score >= thresholds.page:
        return Label.PAGE
    return Label.WARN if score >= thresholds.warn else Label.PASS


def worst(target: Target, verdicts: Sequence[Verdict], input_hash: str) -> Verdict:
    """The verdict on ``target`` from those on its parts (at least one), by the rule above."""
    windows = sum(verdict.windows for verdict in verdicts)
    truncated = any(verdict.truncated for verdict in verdicts)
    judged = [verdict for verdict in verdicts if verdict.state is State.OK]
    missing = [v for v in verdicts if v.state not in (State.OK, State.NOT_APPLICABLE)]
    chosen = max(
        judged, key=lambda v: (_LABEL_RANK[v.label], v.score or 0.0), default=(verdicts[0])
    )
    if missing and chosen.label is Label.PASS:
        chosen = missing[0]
    return replace(
        chosen,
        target=target,
        input_hash=input_hash,
        windows=windows,
        truncated=truncated,
        cleared=all(verdict.cleared for verdict in verdicts),
    )


def with_operation(verdicts: Sequence[Verdict], input_hash: str) -> list[Verdict]:
    """The targets' verdicts and the one on the operation."""
    return [*verdicts, worst(Target.OPERATION, verdicts, input_hash)]


def nothing_to_judge(reason: Reason) -> list[Verdict]:
    """The only row of an evaluator that does not apply."""
    return [
        Verdict(Target.OPERATION, State.NOT_APPLICABLE, reason, input_hash=text_hash(reason.value))
    ]


def judge_texts(
    items: Sequence[ReadPassage],
    task: str,
    scores: Mapping[str, TextScores],
    thresholds: Thresholds,
    input_hash: str,
) -> list[Verdict]:
    """Injection and toxicity: verdicts by target from the scores of each reading's text."""
    by_target: dict[Target, list[tuple[ReadPassage, Verdict]]] = {}
    for item in items:
        verdict = _judge_reading(item, task, scores[item.reading.text], thresholds)
        by_target.setdefault(item.passage.target, []).append((item, verdict))
    verdicts = [
        worst(
            target,
            [verdict for _, verdict in found],
            text_hash(*dict.fromkeys(item.passage.text for item, _ in found)),
        )
        for target, found in by_target.items()
    ]
    return with_operation(verdicts, input_hash)


def _judge_reading(
    item: ReadPassage, task: str, scores: TextScores, thresholds: Thresholds
) -> Verdict:
    target = item.passage.target
    found = scores.tasks.get(task)
    if scores.failed or found is None:
        return Verdict(target, State.FAILED, Reason.MODEL_ERROR, windows=scores.windows)
    start, end = item.reading.stored_range(found.start, found.end)
    explanation = Explanation(
        part=item.passage.part, start=start, end=end, decoded=item.reading.decoded
    )
    return Verdict(
        target,
        State.OK,
        score=found.score,
        label=label(found.score, thresholds),
        explanation=explanation,
        windows=scores.windows,
        truncated=scores.truncated or item.reading.truncated,
        cleared=scores.cleared,
    )


def judge_claims(
    pairs: Sequence[tuple[ClaimText, Sequence[Chunk]]],
    scores: Sequence[Sequence[float | None]],
    thresholds: Thresholds,
    truncated: bool,
    input_hash: str,
) -> list[Verdict]:
    """Hallucination: a claim's score is its best chunk's, the answer's is its worst claim's.

    ``scores`` holds P(unsupported) of every pair, in the order of ``pairs``. A claim none of whose
    pairs could be scored is failed.
    """
    verdicts: list[Verdict] = []
    claims: list[Claim] = []
    for (claim, chunks), row in zip(pairs, scores, strict=True):
        known = [
            (score, chunk) for score, chunk in zip(row, chunks, strict=True) if score is not None
        ]
        if not known:
            verdicts.append(Verdict(Target.OUTPUT, State.FAILED, Reason.MODEL_ERROR, windows=1))
            continue
        score, best = min(known, key=lambda pair: pair[0])
        claims.append(
            Claim(
                part=claim.part,
                start=claim.start,
                end=claim.end,
                score=score,
                evidence_span_id=best.source.span_id,
                evidence_part=best.source.part,
                evidence_start=best.start,
                evidence_end=best.end,
            )
        )
        place = Explanation(part=claim.part, start=claim.start, end=claim.end)
        verdicts.append(
            Verdict(
                Target.OUTPUT,
                State.OK,
                score=score,
                label=label(score, thresholds),
                explanation=place,
                windows=len(chunks),
            )
        )
    answer = worst(Target.OUTPUT, verdicts, input_hash)
    if answer.state is State.OK:
        explained = answer.explanation.model_copy(update={"claims": tuple(claims)})
        answer = replace(answer, explanation=explained)
    return with_operation([replace(answer, truncated=truncated)], input_hash)


def judge_findings(
    evaluator: Evaluator, findings: Iterable[Finding], prepared: Prepared, interval: Interval
) -> list[Verdict]:
    """pii and secrets: a verdict for each target that has text, from the redactor's findings."""
    wanted = [f for f in findings if f.secret is (evaluator is Evaluator.SECRETS)]
    by_target: dict[Target, list[Finding]] = {}
    for passage in prepared.passages:
        by_target.setdefault(passage.target, [])
    for finding in wanted:
        by_target.setdefault(target_of(finding.part, prepared.passages), []).append(finding)
    given = {
        f.hash for target, found in by_target.items() if target is not Target.OUTPUT for f in found
    }
    input_hash = prepared.hashes[evaluator]
    verdicts = [
        _judge_found(target, by_target[target], given, input_hash, interval)
        for target in _JUDGED_TARGETS
        if target in by_target
    ]
    if not verdicts:
        return nothing_to_judge(Reason.NO_CONTENT)
    return with_operation(verdicts, input_hash)


def _judge_found(
    target: Target,
    found: Sequence[Finding],
    given: set[str],
    input_hash: str,
    interval: Interval,
) -> Verdict:
    """Verdict on one target; its place is the gravest finding (leaked secrets first)."""
    leaked = [f for f in found if f.secret and target is Target.OUTPUT and f.hash not in given]
    first = next(iter([*leaked, *found]), None)
    if first is None:
        return Verdict(target, State.OK, score=0.0, input_hash=input_hash, measured=0.0)
    count = len({finding.hash for finding in found})
    return Verdict(
        target,
        State.OK,
        score=1.0,
        label=Label.PAGE if leaked else interval.label(count),
        explanation=Explanation(
            part=first.part,
            start=first.start,
            end=first.end,
            entities=tuple(sorted({finding.entity for finding in found})),
        ),
        input_hash=input_hash,
        measured=float(count),
    )
