"""Whether the answer repeats itself: a model in a loop.

The share of word triples (of characters in scripts without spaces) that were said before, over the
whole answer and over each stretch of it: a long good answer that ends in a loop is a loop. Code,
tables and lists of records repeat by nature and are left out.
"""

import re
from collections.abc import Sequence

from processors.evaluate.checks.subject import Measured, Subject, without_code, worst

VERSION = "repetition-1"
TOKENS_MIN = 40
STRETCH_TOKENS = 150
_TOKEN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\\W_]+")
_RECORD = re.compile(r"^[ \t]*(?:\||[{\[\"]|<[A-Za-z/]).*$", re.M)

Token = tuple[str, int, int]


def repetition(subject: Subject) -> Measured | None:
    """The worst stretch of the worst answer."""
    if not subject.is_answered:
        return None
    judged = (_judged(passage.part, passage.text) for passage in subject.answers)
    return worst([one for one in judged if one is not None])


def _judged(part: str, text: str) -> Measured | None:
    prose = _RECORD.sub(lambda match: " " * len(match[0]), without_code(text))
    tokens = [(m[0].casefold(), m.start(), m.end()) for m in _TOKEN.finditer(prose)]
    if len(tokens) < TOKENS_MIN:
        return None
    starts = range(0, max(len(tokens) - TOKENS_MIN, 0) + 1, STRETCH_TOKENS)
    stretches = [tokens[start : start + STRETCH_TOKENS] for start in starts]
    share, worst_stretch = max(((_repeated(s), s) for s in stretches), key=lambda pair: pair[0])
    overall = _repeated(tokens)
    if overall > share:
        share, worst_stretch = overall, tokens
    return Measured(share, share, part, worst_stretch[0][1], worst_stretch[-1][2])


def _repeated(tokens: Sequence[Token]) -> float:
    """Share of triples that stood before."""
    words = [word for word, _, _ in tokens]
    triples = list(zip(words, words[1:], words[2:], strict=False))
    return round(1 - len(set(triples)) / len(triples), 4) if triples else 0.0
