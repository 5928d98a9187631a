"""Texts to token windows, windows to batches under a token budget, batches to scores.

Pure or blocking functions that the engine runs in its threads. A batch that fails is tried once
more row by row, so that one bad text costs its neighbours nothing but time.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ingest import telemetry
from processors.evaluate.graphs import F32, Model, run_first_pass, run_pairs, run_texts
from processors.evaluate.support_features import FEATURE_NAMES, support_features
from schemas.metrics import EVALUATE_BATCH_TOKENS

LOG = logging.getLogger(__name__)

_BUCKET_TOKENS = (32, 64, 128, 256, 512)
"""A batch holds windows of one length bucket: a 20-token text is never padded to 256."""
_CHARS_PER_TOKEN = 8
"""Texts are cut before tokenising at this many characters per token that can be judged."""
_FIRST_PASS_TOKENS = 64 << 10
"""Padded tokens of one run of the first pass: it is so cheap that only memory matters."""
_PAIR_WINDOWS = 4
"""Windows of one piece of evidence; chunks are shorter than one."""
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
    cleared: bool = False
    """Whether the first pass decided, and the model did not see it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A claim and evidence as one token sequence; of long evidence, one window of it."""

    ids: Sequence[int]
    types: Sequence[int]
    features: Sequence[float]


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


def tokenise_pairs(model: Model, pairs: Sequence[tuple[str, str]]) -> list[list[Pair]]:
    """Windows of every (claim, evidence); none where the tokenizer refuses. Blocking.

    The evidence alone is cut into windows. A claim so long that it leaves no room is shortened.
    """
    task = model.support_task()
    evidence_first = task is not None and task.first == "evidence"
    with_features = task is not None and bool(task.features)
    found = []
    for claim, evidence in pairs:
        texts = (text.encode("utf-8", "replace").decode() for text in (claim, evidence))
        encoding = _encode_pair(model, next(texts), next(texts), evidence_first)
        features = support_features(claim, evidence) if with_features else []
        windows = [encoding, *encoding.overflowing[: _PAIR_WINDOWS - 1]] if encoding else []
        found.append([Pair(w.ids, w.type_ids, features) for w in windows])
    return found


def _encode_pair(model: Model, claim: str, evidence: str, evidence_first: bool) -> Any:
    longest = model.manifest.tokenizer.max_length
    # A token is at least a character, so the last one fits whatever the tokenizer makes of it.
    for limit in (longest * _CHARS_PER_TOKEN, longest, longest // 2):
        texts = (evidence, claim[:limit]) if evidence_first else (claim[:limit], evidence)
        try:
            return model.pair_tokenizer.encode(*texts)
        # The edge of native code: it raises a bare Exception when the claim leaves no room.
        except Exception as error:
            refused = type(error).__name__
    LOG.error("the tokenizer refused a pair: %s", refused)
    return None


def score_pairs(model: Model, pairs: Sequence[Pair], budget_tokens: int) -> list[float | None]:
    """P(unsupported) of each pair, None where the model cannot judge it. Blocking."""
    found: list[float | None] = [None] * len(pairs)
    for batch in plan_batches([len(pair.ids) for pair in pairs], budget_tokens):
        scores = _attempt_pairs(model, [pairs[index] for index in batch])
        for place, index in enumerate(batch):
            if not 0 <= scores[place] <= 1 and len(batch) > 1:
                scores[place] = _attempt_pairs(model, [pairs[index]])[0]
            found[index] = float(scores[place]) if 0 <= scores[place] <= 1 else None
    return found


def _attempt_pairs(model: Model, pairs: Sequence[Pair]) -> F32:
    """Scores of one batch; NaN for every row when the run fails."""
    width = len(FEATURE_NAMES) if pairs[0].features else 0
    features = np.asarray([pair.features for pair in pairs], np.float32).reshape(len(pairs), width)
    rows = [pair.ids for pair in pairs]
    try:
        with _batch_span(model, rows):
            return run_pairs(model, rows, [pair.types for pair in pairs], features)
    # The edge of native code: whatever it raises becomes the state of these pairs.
    except Exception as error:
        LOG.warning("a batch of %d pairs failed: %s", len(pairs), type(error).__name__)
        return np.full(len(pairs), np.nan, np.float32)


def clear(model: Model, rows: Sequence[Sequence[int]]) -> list[WindowScores | None]:
    """Scores of the windows that the first pass clears, None for those that the model must see.

    Blocking. None also for windows that are too short for it, and for all without a cascade, or
    when its run fails.
    """
    cascade = model.manifest.cascade
    found: list[WindowScores | None] = [None] * len(rows)
    if cascade is None:
        return found
    asked = [index for index, row in enumerate(rows) if len(row) >= cascade.from_tokens]
    for batch in plan_batches([len(rows[index]) for index in asked], _FIRST_PASS_TOKENS):
        places = [asked[index] for index in batch]
        try:
            scores = run_first_pass(model, [rows[index] for index in places])
        # The edge of native code; the model itself judges what could not be cleared.
        except Exception as error:
            LOG.warning("the first pass failed: %s", type(error).__name__)
            continue
        limits = cascade.clear_below
        harmless = np.all([scores[name] < limits[name] for name in limits], axis=0)
        for place, index in enumerate(places):
            if harmless[place]:
                told = {name: float(values[place]) for name, values in scores.items()}
                found[index] = WindowScores(told, None, cleared=True)
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


def embed_text(model: Model, graph: str, text: str) -> F32 | None:
    """What a graph's embedding says of a text's first window; None where it cannot. Blocking.

    The text runs alone: padding beside others would move the last digits, and a repeat is to give
    the same.
    """
    (found,) = tokenise(model, [text], 1)
    if not found.windows:
        return None
    try:
        outputs = run_texts(model, graph, [found.windows[0].ids])
    # The edge of native code: a text without an embedding is one less in a sample.
    except Exception as error:
        LOG.warning("no embedding of a text: %s", type(error).__name__)
        return None
    embedding = outputs[model.manifest.graphs[graph].embedding][0]
    return embedding if np.isfinite(embedding).all() else None


def score_batch(model: Model, rows: Sequence[Sequence[int]]) -> list[WindowScores | None]:
    """Scores of each row, None for a row the model cannot judge (exception, NaN). Blocking."""
    EVALUATE_BATCH_TOKENS.observe(_padded_tokens(rows))
    with _batch_span(model, rows):
        found = _attempt(model, rows)
    failed = [index for index, scores in enumerate(found) if scores is None]
    if failed and len(rows) > 1:
        for index in failed:
            found[index] = _attempt(model, [rows[index]])[0]
    if lost := sum(scores is None for scores in found):
        LOG.error("the model could not judge %d of %d windows", lost, len(rows))
    return found


def _padded_tokens(rows: Sequence[Sequence[int]]) -> int:
    return len(rows) * max(map(len, rows))


def _batch_span(model: Model, rows: Sequence[Sequence[int]]) -> telemetry.Span:
    tokens = sum(map(len, rows))
    return telemetry.batch_span(
        model.manifest.name, model.device, len(rows), tokens, _padded_tokens(rows)
    )


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
