"""Texts as a safety model should read them: unmasked, and with hidden texts decoded.

Attackers hide instructions from filters with zero-width and bidirectional characters, letters of
other alphabets that look Latin, invisible tag characters, base64 and hex. What was decoded is
unmasked too, and looked through once more: two layers. Every reading maps its characters back to
the stored text. Pure, linear in the text, never raises.
"""

import base64
import binascii
import heapq
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

_MAX_HIDDEN = 32
"""Hidden texts read per text: each is one more text to score."""
_MAX_DECODED_CHARS = 16_384
_MAX_DECODED_BYTES = 4 * (_MAX_DECODED_CHARS + 1)
"""Enough that a run cut here is seen to be too long, whatever its characters take."""
_LAYERS = 2
"""Base64 in base64 is read, a third layer is not: each is a further pass over the text."""
_MIN_HIDDEN_CHARS = 8
"""Shorter tag sequences are flag emoji; shorter decoded texts say nothing."""

_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e01ef"
)
_INVISIBLE_RUN = re.compile(f"[{_INVISIBLE}]")
_TAGS = re.compile("[\U000e0020-\U000e007e]+")
_HOMOGLYPH_PAIRS = (
    # Cyrillic, Armenian
    "аa еe оo рp сc уy хx іi јj ѕs һh ԁd ԛq ԝw ѵv ӏl ɡg кk мm тt нh вb ьb гr"
    " АA ВB ЕE КK МM НH ОO РP СC ТT ХX УY ІI ЈJ ЅS Ԛq Ԝw հh սu ոn օo ցg"
    # Greek, Latin extensions
    " αa οo ιi ρp νv υu εe κk τt ωw ΑA ΒB ΕE ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX ΖZ ıi ɑa"
)
_HOMOGLYPHS = {pair[0]: pair[1] for pair in _HOMOGLYPH_PAIRS.split()}
"""Letters of other alphabets that are drawn like a Latin one, each with that one."""
_LOOKALIKE = re.compile(f"[{''.join(_HOMOGLYPHS)}]")
_WORD = re.compile(r"\w+")
_ASCII_LETTER = re.compile("[A-Za-z]")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{24,}(?:\r?\n[A-Za-z0-9+/_-]{24,})*={0,2}")
_HEX = re.compile(r"(?:(?:\\x|0x|%)?[0-9A-Fa-f]{2}[ :,]?){16,}")
_HEX_NOISE = re.compile(r"\\x|0x|[^0-9A-Fa-f]")


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a stored text. ``decoded`` is '', tags, base64 or hex (the outer layer).

    ``start`` and ``end`` are the stored range read; ``offsets`` the stored offset of each
    character and of the end, None where they follow ``start`` one by one. ``truncated`` where more
    is hidden than was read.
    """

    text: str
    start: int
    end: int
    decoded: str = ""
    offsets: Sequence[int] | None = None
    truncated: bool = False

    def stored_range(self, start: int, end: int) -> tuple[int, int]:
        """The stored characters behind characters of this reading (all, where it was decoded)."""
        if self.decoded:
            return self.start, self.end
        if self.offsets is None:
            return self.start + start, self.start + end
        last = len(self.offsets) - 1
        return self.offsets[min(start, last)], self.offsets[min(end, last)]


def readings(text: str) -> list[Reading]:
    """The text unmasked, then the different texts hidden in it, in order.

    At most 32 of these; where there are more, the last says ``truncated``.
    """
    shown = unmasked(text)
    found: dict[tuple[str, bool], Reading] = {}
    for one in _hidden(text, shown, _LAYERS):
        key = (one.text, one.truncated)
        if key not in found and len(found) == _MAX_HIDDEN:
            last = next(reversed(found))
            found[last] = replace(found[last], truncated=True)
            break
        found.setdefault(key, one)
    return [shown, *sorted(found.values(), key=lambda reading: reading.start)]


def unmasked(text: str) -> Reading:
    """Invisible characters out, compatibility forms folded, look-alike letters made Latin."""
    plain = Reading(text, 0, len(text))
    if text.isascii():
        return plain
    offsets: Sequence[int] | None = None
    folded = text
    if _INVISIBLE_RUN.search(text) or not unicodedata.is_normalized("NFKC", text):
        characters: list[str] = []
        places: list[int] = []
        for place, character in enumerate(text):
            for piece in character if character < "\x80" else _fold(character):
                characters.append(piece)
                places.append(place)
        folded, offsets = "".join(characters), [*places, len(text)]
    latin = _latinise(folded)
    if offsets is None and latin == text:
        return plain
    return Reading(latin, 0, len(text), "", offsets)


@lru_cache(maxsize=4096)
def _fold(character: str) -> str:
    """Nothing for an invisible character, else its compatibility form."""
    if _INVISIBLE_RUN.match(character):
        return ""
    return unicodedata.normalize("NFKC", character)


def _latinise(text: str) -> str:
    """Look-alikes made Latin in words that mix alphabets, and everywhere in mostly Latin texts.

    Honest Russian or Greek stays as it is. Every replacement is one character for one.
    """
    if not _LOOKALIKE.search(text):
        return text
    latin = len(_ASCII_LETTER.findall(text))
    foreign = sum(c.isalpha() and not c.isascii() and c not in _HOMOGLYPHS for c in text)

    def replace(match: re.Match[str]) -> str:
        word = match.group()
        if word.isascii() or not _LOOKALIKE.search(word):
            return word
        mixed = _ASCII_LETTER.search(word) is not None
        disguised = all(c in _HOMOGLYPHS for c in word) and latin > 2 * foreign
        if not mixed and not disguised:
            return word
        return "".join(_HOMOGLYPHS.get(c, c) for c in word)

    return _WORD.sub(replace, text)


def _hidden(text: str, shown: Reading, layers: int) -> Iterator[Reading]:
    """Readable texts behind the runs of a text (``shown`` is it unmasked), and those in them."""
    for run in _runs(text, shown):
        inner = unmasked(run.text)
        if _is_readable(inner.text):
            cut = run.truncated or len(inner.text) > _MAX_DECODED_CHARS
            yield replace(run, text=inner.text[:_MAX_DECODED_CHARS], truncated=cut)
        if layers > 1:
            for deeper in _hidden(run.text, inner, layers - 1):
                yield replace(run, text=deeper.text, truncated=run.truncated or deeper.truncated)


def _runs(text: str, shown: Reading) -> Iterator[Reading]:
    """Tags and encoded runs. An invisible character may break a run, or part it from a word, so
    that the text is looked through with and without them."""
    yield from _tag_runs(text)
    read: list[Reading] = []
    for run in _encoded_runs(shown):
        read.append(run)
        yield run
    if shown.text == text:
        return
    at = 0
    for run in _encoded_runs(Reading(text, 0, len(text))):
        while at < len(read) and read[at].end <= run.start:
            at += 1
        if at == len(read) or run.start < read[at].start:
            yield run


def _tag_runs(text: str) -> Iterator[Reading]:
    """What is written in invisible tag characters."""
    if text.isascii():
        return
    for match in _TAGS.finditer(text):
        hidden = "".join(chr(ord(c) - 0xE0000) for c in match.group())
        if len(hidden) >= _MIN_HIDDEN_CHARS:
            yield _run(hidden, *match.span(), "tags")


def _encoded_runs(shown: Reading) -> Iterator[Reading]:
    """What hex and base64 runs decode to, where that is text, in order, as it was encoded.

    Hex digits are base64 digits too: of two runs at one place the first that is text counts.
    """
    runs = heapq.merge(
        ((match.start(), 0, match) for match in _HEX.finditer(shown.text)),
        ((match.start(), 1, match) for match in _BASE64.finditer(shown.text)),
        key=lambda run: run[:2],
    )
    read_to = 0
    for start, kind, match in runs:
        if start < read_to:
            continue
        hidden = _text_of((_from_hex, _from_base64)[kind](match.group()))
        if hidden:
            read_to = match.end()
            place = shown.stored_range(*match.span())
            yield _run(hidden, *place, ("hex", "base64")[kind])


def _run(hidden: str, start: int, end: int, decoded: str) -> Reading:
    """A hidden text as it was decoded, cut where it is too long."""
    cut = len(hidden) > _MAX_DECODED_CHARS
    return Reading(hidden[:_MAX_DECODED_CHARS], start, end, decoded, None, cut)


def _from_hex(run: str) -> bytes:
    digits = _HEX_NOISE.sub("", run)[: 2 * _MAX_DECODED_BYTES]
    return bytes.fromhex(digits[: len(digits) // 2 * 2])


def _from_base64(run: str) -> bytes:
    """Standard or URL-safe, with or without padding; b'' if it is not base64 after all."""
    digits = re.sub(r"[\r\n=]", "", run).translate(str.maketrans("-_", "+/"))
    digits = digits[: 2 * _MAX_DECODED_BYTES]
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except binascii.Error:
        return b""


def _text_of(data: bytes) -> str:
    """These bytes as text if they are UTF-8 and long enough to say something; else ''."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        # A cut or trailing junk may break the last character: what precedes it counts.
        text = data[: error.start].decode() if error.start >= len(data) - 4 else ""
    return text if len(text) >= _MIN_HIDDEN_CHARS else ""


def _is_readable(text: str) -> bool:
    """Whether a person could read it."""
    if len(text) < _MIN_HIDDEN_CHARS:
        return False
    printable = sum(c.isprintable() or c in "\n\r\t" for c in text)
    letters = sum(c.isalpha() or c == " " for c in text)
    return printable >= 0.95 * len(text) and letters >= 0.6 * len(text)
