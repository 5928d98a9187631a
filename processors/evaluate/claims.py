"""Answers to claims, evidence to chunks, and the few pairs worth scoring. Pure, linear, offsets.

A claim is a sentence that asserts something. Skipped, by rule: questions, lead-ins that end in a
colon, text without letters or digits, code blocks, and sentences that are nothing but greetings and
thanks, offers of help, refusals or "I don't know" (:mod:`processors.evaluate.courtesies`). It is
judged without the courtesies in front, which no evidence has and a model holds against it; an
answer of at most four words with its question in front, for alone it says too little. Chunks and
selection follow the way the support model was trained (``training/data.py``): whole
sentences up to 80 words, the chunks that share most words with the claim.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from processors.evaluate.courtesies import asserted_from

CLAIM_WORDS = 80
CHUNK_WORDS = 80
CHUNKS_PER_CLAIM = 2
SHORT_ANSWER_WORDS = 4
_PIECE_CHARS = 800
"""A sentence without spaces (Chinese, Japanese, base64) is cut here instead of at 80 words."""
_LEAD_IN_WORDS = 14
_AROUND = " \t*_`\"'"

# Starts only at the first of a run of terminators and never gives back: linear on any text.
_BOUNDARY = re.compile(
    r"(?<![.!?…])[.!?…]++(?:[\"'”’»)\]*_]|\[\d{1,3}\])*+(?=\s|$)"
    r"|[。！？｡]++[」』”’）]*+"
    r"|[؟।۔]++(?=\s|$)"
    r"|\n++"
)
_FENCE = re.compile(r"```|~~~")
_MARKER = re.compile(r"[\s#>|]*+(?:(?:[-*•–+]|\(?\d{1,3}[.)]|[a-z][.)])\s++)?")
_LIST_NUMBER = re.compile(r"[\s#>*]*+\(?(?:\d{1,3}|[A-Za-z])")
_WORD = re.compile(r"\w+")
_SPACED = re.compile(r"\S+")
_WIDE = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_ABBREVIATION_WORDS = (
    "mr mrs ms dr prof st mt sr jr vs e.g i.e cf al approx no nos fig figs eq sec ch art vol pp"
    " p ed eds dept est gen gov sen rep hon rev capt lt col sgt ca resp incl u.s u.k a.m p.m"
    " jan feb mar apr jun jul aug sep sept oct nov dec"
)
_ABBREVIATIONS = frozenset(_ABBREVIATION_WORDS.split())
_ENDS_SENTENCE_TOO = frozenset(("u.s", "u.k", "a.m", "p.m", "no", "p"))
"""Abbreviations that a sentence may end with: a capital after them is a boundary."""

_QUESTION_ENDS = ("?", "？", "؟")
_DECORATION = re.compile(r" ?\[\d{1,3}(?:[,–-] ?\d{1,3})*\]|\*\*|__|`")
"""Citation marks and emphasis: no part of what is claimed, and a number that no evidence has."""


@dataclass(frozen=True, slots=True)
class Span:
    """Characters ``start`` to ``end`` of a text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ClaimText:
    """A claim: where it stands in the answer, and the text that is judged for it."""

    part: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """One piece of evidence. ``offset`` is where ``text`` begins in the stored part."""

    span_id: str
    part: str
    text: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some sentences of a source; the range is in the stored part."""

    source: Source
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class SupportPlan:
    """Claims with their best chunks, best first; ``truncated`` when something was left out."""

    pairs: list[tuple[ClaimText, list[Chunk]]] = field(default_factory=list)
    truncated: bool = False


def sentences(text: str) -> list[Span]:
    """Spans of sentences, lines and list items, outer blanks left out, in order, disjoint."""
    spans: list[Span] = []
    start = 0
    for match in _BOUNDARY.finditer(text):
        if match.group()[0] in ".…" and _inside_sentence(text, start, match):
            continue
        spans.append(_trim(text, start, match.end()))
        start = match.end()
    spans.append(_trim(text, start, len(text)))
    return [span for span in spans if span.start < span.end]


def _inside_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether a full stop belongs to an abbreviation, an initial or a list number."""
    stop = match.start()
    word = text[max(start, stop - 12) : stop].split()[-1:]
    before = word[0].lower().lstrip("([\"'") if word else ""
    following = text[match.end() : match.end() + 8].lstrip()[:1]
    if following.islower() and not {"!", "?"} & set(match.group()):
        return True
    if match.group() != ".":
        return False
    if before in _ABBREVIATIONS:
        return before not in _ENDS_SENTENCE_TOO or following.isdigit()
    if len(before) == 1 and word[0].isupper() and before != "i":
        return True
    return stop - start < 8 and _LIST_NUMBER.fullmatch(text, start, stop) is not None


def _trim(text: str, start: int, end: int) -> Span:
    """The span without blanks at its ends."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return Span(start, end)


def _code_spans(text: str) -> list[Span]:
    """Fenced code blocks; an unclosed one reaches the end."""
    fences = [match.start() for match in _FENCE.finditer(text)]
    opened = fences[::2]
    closed = [place + 3 for place in fences[1::2]]
    return [Span(a, b) for a, b in zip(opened, [*closed, len(text)], strict=False)]


def claim_spans(text: str) -> list[Span]:
    """Sentences of an answer that assert something, at most 80 words each, in order."""
    found: list[Span] = []
    position = 0
    for code in [*_code_spans(text), Span(len(text), len(text))]:
        prose = text[position : code.start]
        for sentence in sentences(prose):
            start = _MARKER.match(prose, sentence.start, sentence.end)
            span = Span(start.end() if start else sentence.start, sentence.end)
            if asserts(prose[span.start : span.end]):
                pieces = _pieces(prose, span, CLAIM_WORDS)
                found += [Span(position + p.start, position + p.end) for p in pieces]
        position = code.end
    return found


def asserts(sentence: str) -> bool:
    """Whether a sentence claims anything that evidence could support; see the module's rule."""
    return _asserted_at(sentence) is not None


def _asserted_at(sentence: str) -> int | None:
    """Where begins what a sentence claims, behind its openers; None where it claims nothing."""
    bare = sentence.strip(_AROUND)
    plain = bare.replace("’", "'").lower()
    words = len(plain.split())
    if not _WORD.search(plain) or plain.endswith(_QUESTION_ENDS):
        return None
    if plain.endswith((":", "：")) and words <= _LEAD_IN_WORDS:
        return None
    at = asserted_from(plain)
    if at is None:
        return None
    # A letter may be longer in lower case: then places are not those of the sentence.
    return sentence.index(bare) + at if at and len(plain) == len(bare) else 0


def _pieces(text: str, span: Span, words: int) -> list[Span]:
    """The span cut at blanks into pieces of at most so many words and characters."""
    pieces: list[Span] = []
    start = end = -1
    count = 0
    for match in _SPACED.finditer(text, span.start, span.end):
        # Only a word longer than a whole piece is cut inside.
        for at in range(match.start(), match.end(), _PIECE_CHARS):
            stop = min(at + _PIECE_CHARS, match.end())
            if count == words or (count and stop - start > _PIECE_CHARS):
                pieces.append(Span(start, end))
                count = 0
            if not count:
                start = at
            end = stop
            count += 1
    if count:
        pieces.append(Span(start, end))
    return pieces


def chunk(source: Source) -> list[Chunk]:
    """Windows of whole sentences, at most 80 words each (a longer sentence is cut), in order."""
    chunks: list[Chunk] = []
    start = end = -1
    words = 0
    text = source.text
    for sentence in sentences(text):
        for piece in _pieces(text, sentence, CHUNK_WORDS):
            size = len(text[piece.start : piece.end].split())
            if words and (words + size > CHUNK_WORDS or piece.end - start > _PIECE_CHARS):
                chunks.append(_chunk(source, start, end))
                words = 0
            if not words:
                start = piece.start
            end = piece.end
            words += size
    if words:
        chunks.append(_chunk(source, start, end))
    return chunks


def _chunk(source: Source, start: int, end: int) -> Chunk:
    text = " ".join(source.text[start:end].split())
    return Chunk(source, source.offset + start, source.offset + end, text)


def joined_text(chunks: Sequence[Chunk]) -> str:
    """Chunks of one claim as one piece of evidence, those of a source in its order."""
    places = {id(chunk.source): place for place, chunk in reversed(list(enumerate(chunks)))}
    ordered = sorted(chunks, key=lambda chunk: (places[id(chunk.source)], chunk.start))
    return " ".join(chunk.text for chunk in ordered)


def _terms(text: str) -> set[str]:
    """What overlap counts: words of three letters and more, numbers, pairs of wide characters."""
    found: set[str] = set()
    for word in _WORD.findall(text.lower()):
        if _WIDE.search(word):
            found.update(a + b for a, b in pairwise(word))
        elif len(word) > 2 or word.isdigit():
            found.add(word)
    return found


def plan_support(
    answers: Iterable[tuple[str, str]], question: str, evidence: Sequence[Source], max_pairs: int
) -> SupportPlan:
    """The pairs to score: claims of ``(part, text)`` answers in order, each with its best chunks.

    Empty when nothing is claimed or there is no evidence. ``question`` is the last user message.
    """
    return plan_pairs(_claims(answers, question), evidence, max_pairs)


def plan_pairs(
    claims: Sequence[ClaimText], evidence: Sequence[Source], max_pairs: int
) -> SupportPlan:
    """Each claim with its best chunks of the evidence; claims beyond ``max_pairs`` are left out.

    A pair is a claim with all its evidence, whether the model reads it in one sequence or chunk by
    chunk.
    """
    chunks = [piece for source in evidence for piece in chunk(source)]
    if not claims or not chunks:
        return SupportPlan()
    index: dict[str, list[int]] = defaultdict(list)
    for number, piece in enumerate(chunks):
        for term in _terms(piece.text):
            index[term].append(number)
    per_claim = min(CHUNKS_PER_CLAIM, len(chunks))
    room = max(1, max_pairs)
    pairs = []
    for claim in claims[:room]:
        overlap: Counter[int] = Counter()
        for term in _terms(claim.text):
            overlap.update(index.get(term, ()))
        # Most shared terms first; among equals (no overlap included) the earliest.
        best = sorted(overlap, key=lambda number: (-overlap[number], number))[:per_claim]
        best += [n for n in range(len(best) + per_claim) if n not in best][: per_claim - len(best)]
        pairs.append((claim, [chunks[number] for number in best if number < len(chunks)]))
    return SupportPlan(pairs, truncated=len(claims) > room)


def with_question(question: str, claim: str) -> str:
    """The claim with the end of its question in front, which ends in the only "? " there."""
    asked = " ".join(question.split()[-CLAIM_WORDS:]).rstrip("?").replace("? ", "; ")
    return f"{asked}? {claim}"


def _claims(answers: Iterable[tuple[str, str]], question: str) -> list[ClaimText]:
    """Distinct claims in order; a bare short answer carries its question."""
    claims: list[ClaimText] = []
    seen: set[str] = set()
    for part, text in answers:
        short = len(text.split()) <= SHORT_ANSWER_WORDS and not _WIDE.search(text)
        for span in claim_spans(text):
            judged = " ".join(_DECORATION.sub("", text[span.start : span.end]).split())
            judged = judged[_asserted_at(judged) or 0 :]
            if short and question:
                judged = with_question(question, judged)
            if judged not in seen:
                seen.add(judged)
                claims.append(ClaimText(part, span.start, span.end, judged))
    return claims
