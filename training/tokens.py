"""Texts to token ids as the product cuts them, and where training cuts shorter."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from processors.evaluate.support_features import support_features
from training.fit import Item
from training.safety_rows import SafetyRow
from training.support_rows import SupportRow

MAX_LENGTH = 256  # tokens per window, in the product
STRIDE = 64  # tokens that neighbouring windows share
_CLS, _SEP = 101, 102


def load(path: Path) -> Tokenizer:
    """The tokenizer without truncation or padding."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


PAIR_LENGTH = 256  # of a longer pair the evidence is cut


def pair_items(tokenizer: Tokenizer, rows: Sequence[SupportRow]) -> list[Item]:
    """Claim and evidence in one sequence, with what the head also reads."""
    items = []
    encodings = tokenizer.encode_batch([(r.claim, r.evidence) for r in rows])
    for row, encoding in zip(rows, encodings, strict=True):
        ids, types = encoding.ids, np.asarray(encoding.type_ids)
        if len(ids) > PAIR_LENGTH:
            ids, types = [*ids[: PAIR_LENGTH - 1], _SEP], types[:PAIR_LENGTH]
        features = np.asarray(support_features(row.claim, row.evidence), np.float32)
        items.append(Item(ids, types, np.asarray([row.label], np.float32), features))
    return items


def safety_items(tokenizer: Tokenizer, rows: Sequence[SafetyRow], seed: int) -> list[Item]:
    """One window a row, as long as the product's: were windows of one label cut shorter, length
    would tell the label.

    Every part of a harmless text is harmless, so any window will do. An attack written to the
    assistant shows at its start; of one whose place in a document is unknown the whole must fit a
    window, or the row is left out.
    """
    rng = random.Random(seed)
    items = []
    size = MAX_LENGTH - 2
    for row, encoding in zip(rows, tokenizer.encode_batch([r.text for r in rows]), strict=True):
        ids = encoding.ids[1:-1]
        if row.cut == "never" and len(ids) > size:
            continue
        start = 0
        if len(ids) > size:
            start = {"start": 0, "end": len(ids) - size}.get(row.cut, -1)
            start = rng.randrange(len(ids) - size) if start < 0 else start
        ids = [_CLS, *ids[start : start + size], _SEP]
        items.append(Item(ids, np.zeros(len(ids), np.int64), row.targets))
    return items
