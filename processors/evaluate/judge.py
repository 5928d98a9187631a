"""One operation to verdicts: all its texts go to the engine at once, then rules read the scores."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

from processors.evaluate.checks.run import Checks
from processors.evaluate.claims import SupportPlan, joined_text
from processors.evaluate.context import Prepared
from processors.evaluate.engine import Engine
from processors.evaluate.evaluators import (
    Verdict,
    judge_claims,
    judge_findings,
    judge_texts,
    nothing_to_judge,
)
from processors.evaluate.fairness import cut_level
from processors.evaluate.scores import TextScores
from processors.evaluate.support import SupportPair
from schemas.evaluators import CHECK_EVALUATORS, Evaluator
from schemas.intervals import load_intervals
from schemas.records import Operation

TEXT_EVALUATORS = (Evaluator.INJECTION, Evaluator.TOXICITY)


INLINE_CHARS = 20_000
"""Checks of more text run in a thread: they take about a millisecond for 5,000 characters."""


class Judge:
    """Verdicts by one engine, which its owner starts and closes, and by rules."""

    def __init__(self, engine: Engine, checks: Checks | None = None) -> None:
        self.engine = engine
        self._checks = checks or Checks(load_intervals())

    async def verdicts(
        self, operation: Operation, prepared: Prepared, due: Sequence[Evaluator]
    ) -> dict[Evaluator, list[Verdict]]:
        """Verdicts of the evaluators that are due, by target, that of the operation last.

        A check that has nothing to judge has none.
        """
        checks = [evaluator for evaluator in due if evaluator in CHECK_EVALUATORS]
        due = [evaluator for evaluator in due if evaluator not in CHECK_EVALUATORS]
        verdicts = {
            evaluator: nothing_to_judge(prepared.absent[evaluator])
            for evaluator in due
            if evaluator in prepared.absent
        }
        active = [evaluator for evaluator in due if evaluator not in prepared.absent]
        items = {
            Evaluator.INJECTION: prepared.injection,
            Evaluator.TOXICITY: prepared.toxicity,
        }
        texts: dict[str, None] = {}
        for evaluator in TEXT_EVALUATORS:
            if evaluator in active:
                texts.update(dict.fromkeys(item.reading.text for item in items[evaluator]))
        if Evaluator.HALLUCINATION in active and not self.engine.joins_pairs:
            for claim, chunks in prepared.support.pairs:
                texts.update(dict.fromkeys((claim.text, *(chunk.text for chunk in chunks))))
        scores = await self._scored(operation.tenant, texts)
        tasks = self.engine.model.manifest.tasks
        for evaluator in active:
            hash_ = prepared.hashes[evaluator]
            if evaluator in TEXT_EVALUATORS:
                thresholds = tasks[evaluator.value].thresholds
                verdicts[evaluator] = judge_texts(
                    items[evaluator], evaluator.value, scores, thresholds, hash_
                )
            elif evaluator is Evaluator.HALLUCINATION:
                rows = await self._support(operation.tenant, prepared.support, scores)
                thresholds = tasks[evaluator.value].thresholds
                plan = prepared.support
                verdicts[evaluator] = judge_claims(
                    plan.pairs, rows, thresholds, plan.truncated, hash_
                )
            else:
                interval = self._checks.intervals.of(evaluator)
                verdicts[evaluator] = judge_findings(
                    evaluator, operation.findings, prepared, interval
                )
        return verdicts | await self._checked(operation, prepared, checks)

    async def _checked(
        self, operation: Operation, prepared: Prepared, due: Sequence[Evaluator]
    ) -> dict[Evaluator, list[Verdict]]:
        told = (operation, prepared, due, self.engine.text_limit_chars)
        if not due or operation.content.chars() <= INLINE_CHARS:
            return self._checks.verdicts(*told)
        return await asyncio.to_thread(self._checks.verdicts, *told)

    async def _scored(self, tenant: str, texts: Iterable[str]) -> dict[str, TextScores]:
        """Scores by text; where all together are too long, the longest are cut and say so."""
        texts = list(texts)
        longest = self.engine.text_limit_chars
        lengths = [min(len(text), longest) for text in texts]
        level = cut_level(lengths, self.engine.operation_limit_chars)
        scored = await self.engine.score(tenant, [text[:level] for text in texts])
        return {
            text: replace(found, truncated=True) if len(text) > level else found
            for text, found in zip(texts, scored, strict=True)
        }

    async def _support(
        self, tenant: str, plan: SupportPlan, scores: dict[str, TextScores]
    ) -> list[list[float | None]]:
        """P(unsupported) of each claim by chunk: one by one through a head over embeddings, or all
        chunks in one sequence (then the one that shares most words with the claim has the score).
        """
        if self.engine.joins_pairs:
            joined = [SupportPair(claim.text, joined_text(chunks)) for claim, chunks in plan.pairs]
            found = await self.engine.support(tenant, joined)
            return [
                [score, *([None] * (len(chunks) - 1))]
                for score, (_, chunks) in zip(found, plan.pairs, strict=True)
            ]
        pairs = [
            SupportPair(claim.text, chunk.text, scores[claim.text], scores[chunk.text])
            for claim, chunks in plan.pairs
            for chunk in chunks
        ]
        flat = iter(await self.engine.support(tenant, pairs))
        return [[next(flat) for _ in chunks] for _, chunks in plan.pairs]
