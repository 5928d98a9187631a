"""Scores as the product gives them, for texts and pairs, with both text tasks in one run."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from processors.evaluate.assess import Assessor, Row
from processors.evaluate.batching import (
    clear,
    plan_batches,
    score_batch,
    score_pairs,
    tokenise,
    tokenise_pairs,
)
from processors.evaluate.graphs import Model, padded
from processors.evaluate.models import load_model
from processors.evaluate.normalise import readings
from schemas.config import EvaluateConfig
from schemas.evaluators import Evaluator
from training.calibrate import F64
from training.data import redacted

BATCH_TOKENS = 4096
WINDOWS = 16
TEXT_TASKS = ("injection", "toxicity")
_AT_ONCE = 1000
_FIRST_PASS_TOKENS = 64 << 10


Device = Literal["cpu", "cuda"]


def config(folder: Path, threads: int, device: Device = "cpu") -> EvaluateConfig:
    """The product's settings for one model folder."""
    return EvaluateConfig(
        models_dir=folder.resolve().parent, model=folder.name, device=device, threads=threads
    )


def open_model(folder: Path, threads: int) -> Model:
    """A model folder, loaded as the product loads it on the CPU."""
    return load_model(config(folder, threads))


class Scores:
    """Scores of one model folder, kept in a cache folder by what was scored."""

    def __init__(self, folder: Path, cache: Path, threads: int, device: Device = "cpu") -> None:
        self._config = config(folder, threads, device)
        self.model = load_model(self._config)
        files = sorted(self.model.manifest.files.items())
        self._version = json.dumps([files, str(self.model.manifest.cascade)])
        self._cache = cache
        cache.mkdir(parents=True, exist_ok=True)

    def texts(self, name: str, texts: Sequence[str]) -> dict[str, F64]:
        """Score by task of every text: the worst window, for injection of every reading."""
        return self._kept(name, list(texts), lambda: self._texts(name, texts))

    def _texts(self, name: str, texts: Sequence[str]) -> dict[str, F64]:
        read = [[r.text for r in readings(redacted(t))] for t in texts]
        found: dict[str, dict[str, float]] = {}
        for part in self._parts(name, (t for more in read for t in more)):
            found.update(zip(part, self._windows(part), strict=True))
        injection = [max(found[t]["injection"] for t in more) for more in read]
        toxicity = [found[more[0]]["toxicity"] for more in read]
        return {"injection": np.asarray(injection), "toxicity": np.asarray(toxicity)}

    def _parts(self, name: str, texts: Iterable[str]) -> Iterator[list[str]]:
        """Different texts, like lengths together, so that a part of the work is a part of the time;
        tells how far it is."""
        every = sorted(dict.fromkeys(texts), key=len)
        for start in range(0, len(every), _AT_ONCE):
            part = every[start : start + _AT_ONCE]
            yield part
            print(f"  {name}: {start + len(part)}/{len(every)} texts", flush=True)

    def _windows(self, texts: Sequence[str]) -> list[dict[str, float]]:
        tokenised = tokenise(self.model, texts, WINDOWS)
        seen = self._scored([w.ids for one in tokenised for w in one.windows])
        found, at = [], 0
        for one in tokenised:
            windows = seen[at : at + len(one.windows)]
            at += len(one.windows)
            found.append({t: max(w[t] for w in windows) for t in TEXT_TASKS})
        return found

    def _scored(self, rows: Sequence[Sequence[int]]) -> list[dict[str, float]]:
        seen = clear(self.model, rows)
        left = [i for i, scores in enumerate(seen) if scores is None]
        for batch in plan_batches([len(rows[i]) for i in left], BATCH_TOKENS):
            places = [left[i] for i in batch]
            for place, scores in zip(
                places, score_batch(self.model, [rows[p] for p in places]), strict=True
            ):
                seen[place] = scores
        judged = [scores.scores for scores in seen if scores is not None]
        if len(judged) < len(rows):
            raise ValueError(f"the model cannot judge {len(rows) - len(judged)} windows")
        return judged

    def windows(self, name: str, texts: Sequence[str]) -> dict[str, F64]:
        """Arrays over all windows of all readings of a folder without a cascade: ``text`` (which it
        belongs to), ``first`` (1 in the first reading), ``tokens``, by task the score, and as
        ``cheap_TASK`` that of the first pass."""
        return self._kept(f"windows {name}", list(texts), lambda: self._both(name, texts))

    def _both(self, name: str, texts: Sequence[str]) -> dict[str, F64]:
        owners: dict[str, list[tuple[int, bool]]] = {}
        for index, text in enumerate(texts):
            for place, reading in enumerate(readings(redacted(text))):
                owners.setdefault(reading.text, []).append((index, place == 0))
        lines: list[list[float]] = []
        for part in self._parts(name, owners):
            tokenised = tokenise(self.model, part, WINDOWS)
            rows = [w.ids for one in tokenised for w in one.windows]
            full, cheap = self._scored(rows), self._first_pass(rows)
            whose = [owners[t] for t, one in zip(part, tokenised, strict=True) for _ in one.windows]
            for window, places in enumerate(whose):
                scores = [len(rows[window]), *(full[window][t] for t in TEXT_TASKS), *cheap[window]]
                lines += [[index, first, *scores] for index, first in places]
        columns = ("text", "first", "tokens", *TEXT_TASKS, *(f"cheap_{t}" for t in TEXT_TASKS))
        return dict(zip(columns, np.asarray(lines).T, strict=True))

    def _first_pass(self, rows: Sequence[Sequence[int]]) -> F64:
        """Its scores [rows, tasks]."""
        found = np.zeros((len(rows), len(TEXT_TASKS)))
        graph = self.model.graphs["first"]
        for batch in plan_batches([len(r) for r in rows], _FIRST_PASS_TOKENS):
            ids, mask = padded([rows[i] for i in batch])
            values = graph.run(TEXT_TASKS, {"input_ids": ids, "attention_mask": mask})
            found[batch] = np.stack(values, axis=1)
        return found

    def labels(self, name: str, texts: Sequence[str], outputs: Sequence[str]) -> dict[str, F64]:
        """Other outputs of the text graph: the worst window of every text's first reading."""
        return self._kept(f"labels {name}", list(texts), lambda: self._labels(texts, outputs))

    def _labels(self, texts: Sequence[str], outputs: Sequence[str]) -> dict[str, F64]:
        tokenised = tokenise(self.model, [readings(redacted(t))[0].text for t in texts], WINDOWS)
        rows = [w.ids for one in tokenised for w in one.windows]
        owner = np.asarray([i for i, one in enumerate(tokenised) for _ in one.windows])
        scored = np.zeros((len(rows), len(outputs)))
        (graph,) = self.model.text_graphs()
        for batch in plan_batches([len(row) for row in rows], BATCH_TOKENS):
            ids, mask = padded([rows[i] for i in batch])
            feeds = {"input_ids": ids, "attention_mask": mask}
            scored[batch] = np.stack(self.model.graphs[graph].run(outputs, feeds), axis=1)
        worst = np.zeros((len(texts), len(outputs)))
        np.maximum.at(worst, owner, scored)
        return dict(zip(outputs, worst.T, strict=True))

    def pairs(self, name: str, pairs: Sequence[tuple[str, str]]) -> F64:
        """P(unsupported) of (claim, evidence), the best window of the evidence."""
        return self._kept(name, list(pairs), lambda: {"score": self._pairs(name, pairs)})["score"]

    def _pairs(self, name: str, pairs: Sequence[tuple[str, str]]) -> F64:
        found: list[float] = []
        for start in range(0, len(pairs), _AT_ONCE):
            windows = tokenise_pairs(self.model, pairs[start : start + _AT_ONCE])
            flat = [w for one in windows for w in one]
            scored = iter(score_pairs(self.model, flat, BATCH_TOKENS))
            found += [
                min(s for s in (next(scored) for _ in one) if s is not None) for one in windows
            ]
            print(f"  {name}: {len(found)}/{len(pairs)} pairs", flush=True)
        return np.asarray(found)

    def answers(self, name: str, rows: Sequence[Row]) -> F64:
        """Score of whole answers, cut into claims and paired as the product does it."""
        key = [(r.context, r.question, r.response) for r in rows]
        return self._kept(name, key, lambda: {"score": asyncio.run(self._answers(name, rows))})[
            "score"
        ]

    async def _answers(self, name: str, rows: Sequence[Row]) -> F64:
        async with Assessor(self.model, self._config) as assessor:

            def progress(done: int, total: int) -> None:
                print(f"  {name}: {done}/{total} answers", flush=True)

            return np.asarray(await assessor.scores(rows, Evaluator.HALLUCINATION, progress))

    def _kept(self, name: str, key: Sequence[object], make: object) -> dict[str, F64]:
        told = json.dumps([self._version, key]).encode("utf-8", "replace")
        path = self._cache / f"{name}-{hashlib.sha256(told).hexdigest()[:16]}.npz"
        if path.exists():
            with np.load(path) as arrays:
                return {n: arrays[n] for n in arrays.files}
        values: Mapping[str, F64] = make()  # type: ignore[operator]
        partial = path.with_suffix(".part.npz")
        np.savez(partial, **values)
        partial.rename(path)
        return dict(values)
