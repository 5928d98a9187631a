"""Scores as the product gives them, for texts and pairs, with both text tasks in one run."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

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
from processors.evaluate.graphs import Model
from processors.evaluate.models import load_model
from processors.evaluate.normalise import readings
from schemas.config import EvaluateConfig
from schemas.evaluators import Evaluator
from training.calibrate import F64
from training.data import redacted

BATCH_TOKENS = 4096
WINDOWS = 16
_AT_ONCE = 1000


def config(folder: Path, threads: int) -> EvaluateConfig:
    """The product's settings for one model folder on the CPU."""
    return EvaluateConfig(
        models_dir=folder.resolve().parent, model=folder.name, device="cpu", threads=threads
    )


def open_model(folder: Path, threads: int) -> Model:
    """A model folder, loaded as the product loads it."""
    return load_model(config(folder, threads))


class Scores:
    """Scores of one model folder, kept in a cache folder by what was scored."""

    def __init__(self, folder: Path, cache: Path, threads: int) -> None:
        self._config = config(folder, threads)
        self.model = open_model(folder, threads)
        files = sorted(self.model.manifest.files.items())
        self._version = json.dumps([files, str(self.model.manifest.cascade)])
        self._cache = cache
        cache.mkdir(parents=True, exist_ok=True)

    def texts(self, name: str, texts: Sequence[str]) -> dict[str, F64]:
        """Score by task of every text: the worst window, for injection of every reading."""
        return self._kept(name, list(texts), lambda: self._texts(name, texts))

    def _texts(self, name: str, texts: Sequence[str]) -> dict[str, F64]:
        shown = [redacted(t) for t in texts]
        read = [[r.text for r in readings(t)] for t in shown]
        every = list(
            dict.fromkeys(t for one, more in zip(shown, read, strict=True) for t in (one, *more))
        )
        found: dict[str, dict[str, float]] = {}
        # Like lengths together, so that a part of the work is a part of the time.
        every.sort(key=len)
        for start in range(0, len(every), _AT_ONCE):
            part = every[start : start + _AT_ONCE]
            found.update(zip(part, self._windows(part), strict=True))
            print(f"  {name}: {start + len(part)}/{len(every)} texts", flush=True)
        injection = [max(found[t]["injection"] for t in more) for more in read]
        toxicity = [found[t]["toxicity"] for t in shown]
        return {"injection": np.asarray(injection), "toxicity": np.asarray(toxicity)}

    def _windows(self, texts: Sequence[str]) -> list[dict[str, float]]:
        tokenised = tokenise(self.model, texts, WINDOWS)
        rows = [w.ids for one in tokenised for w in one.windows]
        seen = clear(self.model, rows)
        left = [i for i, scores in enumerate(seen) if scores is None]
        for batch in plan_batches([len(rows[i]) for i in left], BATCH_TOKENS):
            places = [left[i] for i in batch]
            for place, scores in zip(
                places, score_batch(self.model, [rows[p] for p in places]), strict=True
            ):
                seen[place] = scores
        found, at = [], 0
        for one in tokenised:
            windows = [w.scores for w in seen[at : at + len(one.windows)] if w is not None]
            at += len(one.windows)
            found.append({t: max(w[t] for w in windows) for t in ("injection", "toxicity")})
        return found

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
