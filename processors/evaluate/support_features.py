"""Cheap lexical features of "does this evidence support this claim?", named `lexical_v2`.

Embeddings blur exactly what invented answers get wrong: numbers, names, negations, one swapped
word. These features count them. Training and serving call this one function, so a change here
needs a new feature-set name and a retrained `support.onnx`.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise

FEATURE_SET = "lexical_v2"
FEATURE_NAMES: tuple[str, ...] = (
    "token_coverage",  # share of claim tokens found in the evidence, 0..1
    "content_coverage",  # the same over stemmed content words
    "best_sentence_coverage",  # content coverage by the single best evidence sentence
    "bigram_coverage",  # share of adjacent claim stem pairs found adjacent in the evidence
    "number_coverage",  # share of claim numbers found (1 if the claim has none)
    "numbers_missing",  # claim numbers not found, capped at 3, divided by 3
    "name_coverage",  # share of capitalised claim words found (1 if none)
    "names_missing",  # capitalised claim words not found, capped at 3, divided by 3
    "negation_mismatch",  # 1 if exactly one of claim and best evidence sentence is negated
    "substitution",  # words that stand where the evidence has another word, x4 share, capped at 1
    "polarity_flip",  # 1 if the claim has a word whose opposite, not itself, is in that sentence
    "claim_length",  # log(1 + claim tokens) / 5
    "length_ratio",  # log of evidence tokens over claim tokens, / 5
)

MAX_CHARS = 8_000  # of each side; the engine passes a sentence and a chunk of about 80 words
_TOKEN = re.compile(r"[^\W_]+(?:['’.,][^\W_]+)*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STOP = _words(
    "a an the and or but of in on at to for from by with as is are was were be been being am do"
    " does did has have had it its this that these those he she they them his her their we you i my"
    " your our who which what when where how there then than so such also into about over only one"
    " some all any both each more most other very can could will would shall should may might"
)
_NEGATION = _words(
    "not no never none nobody nothing neither nor without cannot can't don't doesn't didn't isn't"
    " aren't wasn't weren't won't wouldn't shouldn't couldn't hasn't haven't hadn't unable fail"
    " failed fails lack lacks false hardly"
)
_NUMBERS = "zero,one,two,three,four,five,six,seven,eight,nine,ten,eleven,twelve"
_NUMBER_WORDS = {word: str(i) for i, word in enumerate(_NUMBERS.split(","))}
_PAIRS = (
    "increase decrease,rise fall,rose fell,grew shrank,more less,more fewer,before after,"
    "first last,high low,higher lower,open closed,always never,accept reject,allow forbid,"
    "allowed prohibited,win lose,won lost,north south,east west,male female,man woman,old young,"
    "early late,best worst,large small,larger smaller,longer shorter,true false,alive dead,"
    "include exclude,above below,maximum minimum,public private,up down,begin end,begin finish,"
    "father mother,brother sister,husband wife,likely unlikely,free paid,required optional,"
    "legal illegal,success failure,major minor,left right,same different,safe dangerous,"
    "with without,can cannot,possible impossible"
)


def _stem(token: str) -> str:
    """Strip common English endings from a lower-cased token; numbers lose their commas."""
    if token[:1].isdigit():
        return token.replace(",", "")
    token = _NUMBER_WORDS.get(token, token)
    for ending in ("'s", "’s", "ingly", "edly", "ing", "ed", "ies", "es", "ly", "s"):
        if token.endswith(ending) and len(token) - len(ending) >= 3:
            return token[: -len(ending)] + ("y" if ending == "ies" else "")
    return token[:-1] if token.endswith("e") and len(token) > 3 else token


OPPOSITE_PAIRS: tuple[tuple[str, str], ...] = tuple(
    (pair.split()[0], pair.split()[1]) for pair in _PAIRS.split(",")
)
_OPPOSITES: dict[str, set[str]] = {}
for _pair in OPPOSITE_PAIRS:
    _a, _b = (_stem(word) for word in _pair)
    _OPPOSITES.setdefault(_a, set()).add(_b)
    _OPPOSITES.setdefault(_b, set()).add(_a)


def _share(wanted: list[str], found: set[str] | frozenset[str]) -> float:
    """Share of `wanted` in `found`; 1 if nothing is wanted."""
    return sum(w in found for w in wanted) / len(wanted) if wanted else 1.0


def _content(tokens: list[str]) -> list[str]:
    return [_stem(t) for t in tokens if t not in _STOP]


def _negations(tokens: list[str]) -> int:
    return sum(t.replace("’", "'") in _NEGATION for t in tokens)


def _best_sentence(
    content: list[str], sentences: list[list[str]], known: list[str]
) -> tuple[list[str], float]:
    """The sentence the claim is most likely about (negation and opposites are judged against it)
    and its share of the claim's content; all that is known, and -1, if there is none."""
    best, best_cover = known, -1.0
    for sentence in sentences:
        cover = _share(content, {_stem(t) for t in sentence})
        if sentence and cover > best_cover:
            best, best_cover = sentence, cover
    return best, best_cover


def _names(raw: list[str]) -> list[str]:
    """Stems of capitalised words; the first word is capitalised anyway, and counts only alone."""
    return [
        _stem(t.lower())
        for i, t in enumerate(raw)
        if t[0].isupper() and t.lower() not in _STOP and (i or len(raw) == 1)
    ]


def support_features(claim: str, evidence: str) -> list[float]:
    """FEATURE_NAMES of a claim against one evidence chunk; finite floats, linear time, any str.

    Of a claim with its question in front (``claims.with_question``) they look at the answer alone:
    evidence that has the question's words supports no answer.
    """
    claim, evidence = (
        claim[:MAX_CHARS].rpartition("? ")[2] or claim[:MAX_CHARS],
        evidence[:MAX_CHARS],
    )
    raw = _TOKEN.findall(claim)
    tokens = [t.lower() for t in raw]
    sentences = [_TOKEN.findall(part.lower()) for part in _SENTENCE.split(evidence)]
    known = [t for sentence in sentences for t in sentence]
    stems, known_stems = [_stem(t) for t in tokens], [_stem(t) for t in known]
    vocabulary = set(known_stems)
    content = _content(tokens)

    best, best_cover = _best_sentence(content, sentences, known)
    best_stems = {_stem(t) for t in best}
    pairs = set(pairwise(known_stems))
    claim_pairs = list(pairwise(stems))
    numbers = [s for s in stems if any(c.isdigit() for c in s)]
    names = _names(raw)
    # A missing word whose two neighbours frame another word in the evidence was swapped.
    frames = set(zip(known_stems, known_stems[2:], strict=False))
    swapped = sum(
        stems[i] not in vocabulary and (stems[i - 1], stems[i + 1]) in frames
        for i in range(1, len(stems) - 1)
    )
    flipped = any(
        s not in best_stems and not best_stems.isdisjoint(_OPPOSITES.get(s, ())) for s in stems
    )
    lost_numbers = sum(n not in vocabulary for n in numbers)
    lost_names = sum(n not in vocabulary for n in names)
    return [
        _share(tokens, set(known)),
        _share(content, vocabulary),
        max(best_cover, 0.0),
        sum(p in pairs for p in claim_pairs) / len(claim_pairs) if claim_pairs else 1.0,
        _share(numbers, vocabulary),
        min(lost_numbers, 3) / 3.0,
        _share(names, vocabulary),
        min(lost_names, 3) / 3.0,
        float((_negations(tokens) > 0) != (_negations(best) > 0)),
        min(1.0, 4.0 * swapped / max(len(stems), 1)),
        float(flipped),
        math.log1p(len(tokens)) / 5.0,
        math.log((1 + len(known)) / (1 + len(tokens))) / 5.0,
    ]
