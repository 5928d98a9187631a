"""The scoring engine that a worker's operations share: texts in, scores out, off the event loop.

One thread tokenises and one runs the model, so that both overlap; the event loop only moves
references. Calls (operations) take turns, text by text, so that a huge one holds up nobody. What
is tokenised is taken in generations, sorted by length and cut into token-budget batches: within a
generation nothing starves, between generations it is first come, first served. Identical texts of a
tenant are scored once. Memory is bounded: :meth:`Engine.score` waits while the texts
being scored exceed a number of characters.
"""

import asyncio
import itertools
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from processors.evaluate.batching import (
    Tokenised,
    Window,
    WindowScores,
    clear,
    embed_text,
    plan_batches,
    score_batch,
    score_pairs,
    text_limit_chars,
    tokenise,
    tokenise_pairs,
)
from processors.evaluate.fairness import Turns
from processors.evaluate.graphs import F32, Model
from processors.evaluate.scores import TextScores, aggregate
from processors.evaluate.support import SupportPair, score_support
from schemas.config import EvaluateConfig
from schemas.identity import text_hash
from schemas.metrics import EVALUATE_CACHE

_ROOM_CHARS = 8 << 20
"""Characters of texts being scored at once; a call beyond it waits (a lone larger one passes)."""
_TOKENISE_CHARS = 128 << 10
"""Characters tokenised at a time: short enough that the model never waits long for its first."""
_GENERATION_BUDGETS = 8
"""Batches sorted together. More pack better (4 cost 21% of padding more than sorting everything, 8
cost 7%, on the texts of ``bench.evaluate``); fewer make a text wait less when the stage is behind.
"""
_READY_GENERATIONS = 2
"""Tokenising stops this far ahead of the model: windows are larger than the text they came from."""


class EngineError(RuntimeError):
    """The engine itself broke (never the model): the worker must stop."""


@dataclass(slots=True)
class _Job:
    """A text on its way through the engine."""

    key: tuple[str, str, str]
    text: str
    done: "asyncio.Future[TextScores]"
    due: float
    tokenised: Tokenised | None = None
    scores: list[WindowScores | None] = field(default_factory=list)
    left: int = 0


@dataclass(slots=True)
class _Ready:
    """A tokenised window waiting for its batch."""

    job: _Job
    index: int
    window: Window


class Engine:
    """Scores texts with one model. Use from one event loop; :meth:`close` when done.

    ``progressed`` is called on that loop whenever a batch was tokenised or scored.
    """

    def __init__(
        self, model: Model, config: EvaluateConfig, progressed: Callable[[], None] = lambda: None
    ) -> None:
        self.model = model
        self._progressed = progressed
        self._config = config
        self._version = model.version
        self._cache: OrderedDict[tuple[str, str, str], TextScores] = OrderedDict()
        self._pair_cache: OrderedDict[tuple[str, str, str], float] = OrderedDict()
        self._inflight: dict[tuple[str, str, str], _Job] = {}
        self._arrived: Turns[_Job] = Turns()
        self._calls = itertools.count()
        self._ready: deque[_Ready] = deque()
        self._ready_tokens = 0
        self._room_used = 0
        self._room = asyncio.Condition()
        self._arrival = asyncio.Event()
        self._readiness = asyncio.Event()
        self._drained = asyncio.Event()
        self._tokeniser = ThreadPoolExecutor(1, thread_name_prefix="tokenise")
        self._device = ThreadPoolExecutor(1, thread_name_prefix="infer")
        self._loops: list[asyncio.Task[None]] = []
        self._broken: EngineError | None = None

    @property
    def text_limit_chars(self) -> int:
        """Characters of a text beyond which nothing is judged: callers may cut there."""
        return text_limit_chars(self.model, self._config.max_windows)

    @property
    def operation_limit_chars(self) -> int:
        """Characters of all texts of an operation together beyond which callers must cut."""
        return self._config.max_operation_chars

    def start(self) -> None:
        """Start the two loops on the running event loop."""
        for coroutine in (self._tokenise_loop(), self._infer_loop()):
            task = asyncio.create_task(coroutine)
            task.add_done_callback(self._loop_ended)
            self._loops.append(task)

    async def close(self) -> None:
        """Stop; texts still being scored get :class:`EngineError`."""
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._fail(EngineError("the engine is closed"))
        self._tokeniser.shutdown(wait=False, cancel_futures=True)
        self._device.shutdown(wait=False, cancel_futures=True)

    async def score(self, tenant: str, texts: Sequence[str]) -> list[TextScores]:
        """Scores of each text, in order. Waits while the engine is full.

        A text the model cannot judge has ``failed`` set. Raises :class:`EngineError` only if the
        engine itself is broken or closed.
        """
        if not texts:
            return []
        limit = self.text_limit_chars
        async with self._hold(sum(min(len(text), limit) for text in texts)):
            if self._broken:
                raise self._broken
            due = asyncio.get_running_loop().time() + self._config.batch_deadline_ms / 1000
            call = next(self._calls)
            found = [self._submit(call, tenant, text, due) for text in texts]
            waiting = {item for item in found if isinstance(item, asyncio.Future)}
            if waiting:
                # wait() leaves the futures alone when this call is cancelled: others share them.
                await asyncio.wait(waiting)
            return [item.result() if isinstance(item, asyncio.Future) else item for item in found]

    async def support(self, tenant: str, pairs: Sequence[SupportPair]) -> list[float | None]:
        """P(evidence does not support claim) of each pair; None where the model failed."""
        if not pairs:
            return []
        loop = asyncio.get_running_loop()
        if not self.joins_pairs:
            return await loop.run_in_executor(
                self._tokeniser, score_support, self.model, list(pairs)
            )
        keys = [(tenant, text_hash(pair.claim, pair.evidence), self._version) for pair in pairs]
        found = {key: self._pair_cache[key] for key in keys if key in self._pair_cache}
        EVALUATE_CACHE.labels("hit").inc(len(found))
        missing = {
            key: (pair.claim, pair.evidence)
            for key, pair in zip(keys, pairs, strict=True)
            if key not in found
        }
        EVALUATE_CACHE.labels("miss").inc(len(missing))
        texts = list(missing.values())
        chars = sum(len(claim) + len(evidence) for claim, evidence in texts)
        async with self._hold(chars):
            if self._broken:
                raise self._broken
            scores = await self._pair_scores(texts)
        for key, score in zip(missing, scores, strict=True):
            if score is not None:
                found[key] = score
                if self._config.cache_entries:
                    self._pair_cache[key] = score
        while len(self._pair_cache) > self._config.cache_entries:
            self._pair_cache.popitem(last=False)
        return [found.get(key) for key in keys]

    async def embed(self, text: str) -> F32 | None:
        """float32[D] of a text's beginning by :attr:`Model.encoder`, whole even where a cascade
        clears the text; None where the model has no encoder or cannot say."""
        graph = self.model.encoder
        if graph is None:
            return None
        text = text[: text_limit_chars(self.model, 1)]
        async with self._hold(len(text)):
            if self._broken:
                raise self._broken
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._device, embed_text, self.model, graph, text)
        self._progressed()
        return found

    @property
    def joins_pairs(self) -> bool:
        """Whether claim and evidence go to the model as one sequence."""
        task = self.model.support_task()
        return task is not None and task.input == "pair"

    async def _pair_scores(self, texts: Sequence[tuple[str, str]]) -> list[float | None]:
        """Lowest score over the windows of each pair's evidence: one that supports is enough."""
        loop = asyncio.get_running_loop()
        windows = await loop.run_in_executor(self._tokeniser, tokenise_pairs, self.model, texts)
        flat = [pair for pairs in windows for pair in pairs]
        scored = iter(
            await loop.run_in_executor(
                self._device, score_pairs, self.model, flat, self._config.batch_tokens
            )
        )
        self._progressed()
        best: list[float | None] = []
        for pairs in windows:
            known = [score for score in (next(scored) for _ in pairs) if score is not None]
            best.append(min(known, default=None))
        return best

    def _submit(
        self, call: int, tenant: str, text: str, due: float
    ) -> "TextScores | asyncio.Future[TextScores]":
        """The cached scores, or the future of a job (a new one, or one already on its way)."""
        key = (tenant, text_hash(text), self._version)
        if (cached := self._cache.get(key)) is not None:
            self._cache.move_to_end(key)
            EVALUATE_CACHE.labels("hit").inc()
            return cached
        if (job := self._inflight.get(key)) is not None:
            EVALUATE_CACHE.labels("hit").inc()
            return job.done
        EVALUATE_CACHE.labels("miss").inc()
        job = _Job(key, text, asyncio.get_running_loop().create_future(), due)
        self._inflight[key] = job
        self._arrived.append(call, job)
        self._arrival.set()
        return job.done

    @asynccontextmanager
    async def _hold(self, chars: int) -> AsyncIterator[None]:
        """Room for so many characters while the block runs."""
        async with self._room:
            await self._room.wait_for(
                lambda: self._room_used == 0 or self._room_used + chars <= _ROOM_CHARS
            )
            self._room_used += chars
        try:
            yield
        finally:
            async with self._room:
                self._room_used -= chars
                self._room.notify_all()

    async def _tokenise_loop(self) -> None:
        """Arrived texts become ready windows, a bounded way ahead of the model."""
        loop = asyncio.get_running_loop()
        budget = self._config.batch_tokens * _GENERATION_BUDGETS * _READY_GENERATIONS
        while True:
            while not self._arrived:
                self._arrival.clear()
                await self._arrival.wait()
            while self._ready_tokens > budget:
                self._drained.clear()
                await self._drained.wait()
            jobs: list[_Job] = []
            chars = 0
            while self._arrived and (not jobs or chars < _TOKENISE_CHARS):
                jobs.append(self._arrived.popleft())
                chars += len(jobs[-1].text)
            texts = [job.text for job in jobs]
            tokenised, cleared = await loop.run_in_executor(
                self._tokeniser, _first_look, self.model, texts, self._config.max_windows
            )
            self._progressed()
            seen = iter(cleared)
            for job, found in zip(jobs, tokenised, strict=True):
                job.tokenised = found
                job.scores = [next(seen) for _ in found.windows]
                job.left = sum(scores is None for scores in job.scores)
                if not job.left:
                    self._finish(job)
                for index, window in enumerate(found.windows):
                    if job.scores[index] is None:
                        self._ready.append(_Ready(job, index, window))
                        self._ready_tokens += len(window.ids)
            self._readiness.set()

    async def _infer_loop(self) -> None:
        """Ready windows become scores; the next batch is queued while one is on the device."""
        loop = asyncio.get_running_loop()
        while True:
            await self._batch_due()
            generation = self._take_generation()
            lengths = [len(item.window.ids) for item in generation]
            running: tuple[list[_Ready], asyncio.Future[list[WindowScores | None]]] | None = None
            for batch in plan_batches(lengths, self._config.batch_tokens):
                items = [generation[index] for index in batch]
                rows = [item.window.ids for item in items]
                future = loop.run_in_executor(self._device, score_batch, self.model, rows)
                if running:
                    self._settle(running[0], await running[1])
                running = (items, future)
            if running:
                self._settle(running[0], await running[1])

    async def _batch_due(self) -> None:
        """Until a batch is full, or its oldest text has waited for the deadline."""
        loop = asyncio.get_running_loop()
        while not self._ready or self._ready_tokens < self._config.batch_tokens:
            timeout = self._ready[0].job.due - loop.time() if self._ready else None
            if timeout is not None and timeout <= 0:
                return
            self._readiness.clear()
            try:
                await asyncio.wait_for(self._readiness.wait(), timeout)
            except TimeoutError:
                return

    def _take_generation(self) -> list[_Ready]:
        """The oldest windows, up to the tokens that are sorted together."""
        taken: list[_Ready] = []
        tokens = 0
        while self._ready and tokens < self._config.batch_tokens * _GENERATION_BUDGETS:
            taken.append(self._ready.popleft())
            tokens += len(taken[-1].window.ids)
        self._ready_tokens -= tokens
        self._drained.set()
        return taken

    def _settle(self, items: Sequence[_Ready], scores: Sequence[WindowScores | None]) -> None:
        """Note a batch's scores; texts whose windows are all scored are done."""
        self._progressed()
        for item, found in zip(items, scores, strict=True):
            job = item.job
            job.scores[item.index] = found
            job.left -= 1
            if job.left == 0:
                self._finish(job)

    def _finish(self, job: _Job) -> None:
        scores = aggregate(self.model, job.tokenised, job.scores)
        del self._inflight[job.key]
        if self._config.cache_entries and not scores.failed:
            self._cache[job.key] = scores
            while len(self._cache) > self._config.cache_entries:
                self._cache.popitem(last=False)
        job.done.set_result(scores)

    def _loop_ended(self, task: "asyncio.Task[None]") -> None:
        """A loop ends only by close() or by a fault of ours: then every caller must hear of it."""
        if not task.cancelled() and (error := task.exception()):
            self._fail(EngineError(f"the engine broke: {type(error).__name__}"))

    def _fail(self, error: EngineError) -> None:
        self._broken = self._broken or error
        jobs = list(self._inflight.values())
        self._inflight.clear()
        self._arrived.clear()
        self._ready.clear()
        for job in jobs:
            if not job.done.done():
                job.done.set_exception(error)


def _first_look(
    model: Model, texts: Sequence[str], max_windows: int
) -> tuple[list[Tokenised], list[WindowScores | None]]:
    """Windows of the texts, and what the first pass says of each window in turn. Blocking."""
    tokenised = tokenise(model, texts, max_windows)
    rows = [window.ids for found in tokenised for window in found.windows]
    return tokenised, clear(model, rows)
