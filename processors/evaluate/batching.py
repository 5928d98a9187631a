"""Texts to token windows, windows to batches under a token budget, batches to scores.

Pure or blocking functions that the engine runs in its threads. A batch that fails is tried once
more row by row, so that one bad text costs its neighbours nothing but time.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from processors.evaluate.graphs import F32, Model, run_texts
from schemas.metrics import EVALUATE_BATCH_TOKENS

LOG = logging.getLogger(__name__)

_BUCKET_TOKENS = (32, 64, 128, 256, 512)
"""A batch holds windows of one length bucket: a 20-token text is never padded to 256."""
_CHARS_PER_TOKEN = 8
"""Texts are cut before tokenising at this many characters per token that can be judged."""
_TOLERANCE = 1e-4
"""How far rounding may carry a probability out of [0, 1]."""


@dataclass(frozen=True, slots=True)
class Window:
    """Part of a text that fits the model; ``start`` and ``end`` are its characters."""

    ids: Sequence[int]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Tokenised:
    """A text as windows; ``truncated`` when some of it is in none."""

    windows: list[Window]
    truncated: bool


@dataclass(frozen=True, slots=True)
class WindowScores:
    """What the text graphs said of one window: score by task, and the embedding if there is one."""

    scores: dict[str, float]
    embedding: F32 | None


def text_limit_chars(model: Model, max_windows: int) -> int:
    """Characters of a text beyond which nothing can be judged."""
    return max_windows * model.manifest.tokenizer.max_length * _CHARS_PER_TOKEN


def tokenise(model: Model, texts: Sequence[str], max_windows: int) -> list[Tokenised]:
    """Overlapping windows of every text, in order. Blocking.

    An empty text gives one window, a text that the tokenizer refuses none.
    """
    limit = text_limit_chars(model, max_windows)
    # A lone surrogate cannot cross into Rust; U+FFFD keeps every other offset.
    clean = [text[:limit].encode("utf-8", "replace").decode() for text in texts]
    found = []
    for text, cut, encoding in zip(texts, clean, _encode(model, clean), strict=True):
        if encoding is None:
            found.append(Tokenised([], False))
            continue
        overflowing = encoding.overflowing
        if not overflowing:
            found.append(Tokenised([Window(encoding.ids, 0, len(cut))], len(text) > limit))
            continue
        parts = [encoding, *overflowing]
        windows = [_window(part) for part in parts[:max_windows]]
        found.append(Tokenised(windows, len(text) > limit or len(parts) > max_windows))
    return found


def _encode(model: Model, texts: Sequence[str]) -> list[Any]:
    """Encodings of all texts; when the tokenizer refuses one, None for that one."""
    try:
        return list(model.tokenizer.encode_batch(list(texts)))
    # The edge of native code: it raises a bare Exception, and for the whole batch.
    except Exception as error:
        if len(texts) == 1:
            LOG.error("the tokenizer refused a text: %s", type(error).__name__)
            return [None]
        return [encoding for text in texts for encoding in _encode(model, [text])]


def _window(encoding: Any) -> Window:
    """Window of one encoding; special tokens have no place in the text."""
    special = encoding.special_tokens_mask
    offsets = encoding.offsets
    real = [offset for offset, mark in zip(offsets, special, strict=True) if not mark]
    start, end = (real[0][0], real[-1][1]) if real else (0, 0)
    return Window(encoding.ids, start, end)


def plan_batches(lengths: Sequence[int], budget_tokens: int) -> list[list[int]]:
    """Indices into ``lengths``, grouped: padded length x rows <= budget, one bucket a batch.

    Every index appears once. A row longer than the budget gets a batch of its own.
    """
    batches: list[list[int]] = []
    batch: list[int] = []
    edge = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        length = lengths[index]
        if batch and ((len(batch) + 1) * length > budget_tokens or length > edge):
            batches.append(batch)
            batch = []
        if not batch:
            edge = next((top for top in _BUCKET_TOKENS if length <= top), length)
        batch.append(index)
    if batch:
        batches.append(batch)
    return batches


def score_batch(model: Model, rows: Sequence[Sequence[int]]) -> list[WindowScores | None]:
    """Scores of each row, None for a row the model cannot judge (exception, NaN). Blocking."""
    EVALUATE_BATCH_TOKENS.observe(len(rows) * max(map(len, rows)))
    found = _attempt(model, rows)
    failed = [index for index, scores in enumerate(found) if scores is None]
    if failed and len(rows) > 1:
        for index in failed:
            found[index] = _attempt(model, [rows[index]])[0]
    if lost := sum(scores is None for scores in found):
        LOG.error("the model could not judge %d of %d windows", lost, len(rows))
    return found


def _attempt(model: Model, rows: Sequence[Sequence[int]]) -> list[WindowScores | None]:
    scores: list[dict[str, float]] = [{} for _ in rows]
    embedding: F32 | None = None
    good = np.ones(len(rows), dtype=bool)
    try:
        for graph in model.text_graphs():
            outputs = run_texts(model, graph, rows)
            for name, task in model.text_tasks(graph).items():
                values = outputs[task.output]
                good &= (values >= -_TOLERANCE) & (values <= 1 + _TOLERANCE)  # false for NaN
                for index, value in enumerate(np.clip(values, 0.0, 1.0).tolist()):
                    scores[index][name] = value
            if wanted := model.manifest.graphs[graph].embedding:
                embedding = outputs[wanted]
                good &= np.isfinite(embedding).all(axis=1)
    # The edge of native code: whatever it raises concerns this batch alone and becomes a state.
    except Exception as error:
        LOG.warning("a batch of %d windows failed: %s", len(rows), type(error).__name__)
        return [None] * len(rows)
    return [
        # A copy: a view would keep the whole batch's embeddings alive in the cache.
        WindowScores(scores[i], None if embedding is None else embedding[i].copy())
        if good[i]
        else None
        for i in range(len(rows))
    ]
