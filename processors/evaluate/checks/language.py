"""Whether the answer is in the language it was asked in.

Only where both can be told for sure: enough letters, no code, and no wish for another language
(translation, a language named in the question or the instructions). Languages that readers of one
understand in the other, and that short texts do not tell apart, count as one.
"""

import re
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

from processors.evaluate.checks.subject import Measured, Subject, without_code

VERSION = "py3langid-0.4-1"
SEEN_CHARS = 240
"""More text costs time and tells nothing more."""
SURE = 0.9
LETTERS_MIN = 30
DENSE_LETTERS_MIN = 8
"""Of scripts that write a syllable or a word in one sign."""

_CODES = (
    "af ar az be bg bn bs ca cs cy da de el en es et eu fa fi fr ga gl gu he hi hr hu hy id is it "
    "ja ka kk km kn ko ky lo lt lv mk ml mn mr ms my ne nl nn no pa pl ps pt ro ru si sk sl sq sr "
    "sv sw ta te th tl tr uk ur uz vi zh zu"
)
LANGUAGES = tuple(_CODES.split())
_ALIKE = (
    {"no", "nn", "da"}, {"hr", "sr", "bs"}, {"id", "ms"}, {"cs", "sk"}, {"gl", "pt"},
    {"hi", "mr", "ne"}, {"af", "nl"}, {"bg", "mk"}, {"ca", "es"},
)  # fmt: skip
_NOT_PROSE = re.compile(r"https?://\S+|\S+@\S+|<[A-Z_]+_[A-Z2-7]{4}>|[\d_#*|/\\<>{}\[\]]+")
_DENSE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
_NAMES = (
    "afrikaans|arabic|bengali|bulgarian|catalan|chinese|mandarin|cantonese|croatian|czech|danish|"
    "dutch|english|estonian|finnish|french|german|greek|hebrew|hindi|hungarian|icelandic|indonesian|"
    "irish|italian|japanese|korean|latin|latvian|lithuanian|malay|norwegian|persian|farsi|polish|"
    "portuguese|romanian|russian|serbian|slovak|slovenian|spanish|swahili|swedish|tagalog|tamil|thai|"
    "turkish|ukrainian|urdu|vietnamese|"
    "englisch\\w*|deutsch\\w*|französisch\\w*|spanisch\\w*|italienisch\\w*|"
    "anglais|allemand|français|espagnol|italien|inglés|alemán|francés|español|italiano|"
    "inglês|alemão|francês|espanhol|inglese|tedesco|francese|spagnolo|engels|duits|frans|"
    "angielsk\\w*|niemieck\\w*|английск\\w*|немецк\\w*|ingilizce|almanca"
)
_WISH = re.compile(
    rf"\b(?:{_NAMES})\b|\btranslat|\bübersetz|\btradui|\btraduc|\btraduz|\btradurr|\bvertaal|"
    r"\btłumacz|\bprzetłumacz|перевед|перевод|翻译|翻譯|英文|英语|英語|中文|日本語|日语|訳して|翻訳|번역|영어로|"
    r"ترجم|अनुवाद|\bçevir|\böversätt|\boversæt|\boversett",
    re.I,
)
_LOCK = threading.Lock()


@cache
def _loaded() -> Any:
    # Its module-level classify loads lazily, without a lock and with all languages.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415 - 120 MB, seconds

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(LANGUAGES)
    return identifier


def load() -> None:
    """Load the identifier now (seconds, 120 MB), not at the first call."""
    with _LOCK:
        _loaded()


def language_of(text: str) -> tuple[str, float] | None:
    """Language and how sure that is; None where too little prose is left to tell."""
    bare = _NOT_PROSE.sub(" ", without_code(text[: 10 * SEEN_CHARS]))
    prose = " ".join(bare.split())[:SEEN_CHARS]
    letters = sum(map(str.isalpha, prose))
    if letters < (DENSE_LETTERS_MIN if len(_DENSE.findall(prose)) * 2 > letters else LETTERS_MIN):
        return None
    load()
    name, probability = _loaded().classify(prose)
    return str(name), float(probability)


def language(subject: Subject) -> Measured | None:
    """The last question against the answer."""
    if not subject.is_answered or not subject.answers or not subject.questions:
        return None
    asked, answer = subject.questions[-1], subject.answers[0]
    told = [asked.text, *(passage.text for passage in subject.system)]
    if any(_WISH.search(text) for text in told):
        return None
    sides = [language_of(text) for text in (asked.text, answer.text)]
    known = [side for side in sides if side is not None and side[1] >= SURE]
    if len(known) < 2:
        return None
    (asked_in, sure), (answered_in, as_sure) = known
    found = (f"input:{asked_in}", f"output:{answered_in}")
    score = 0.0 if same(asked_in, answered_in) else round(sure * as_sure, 4)
    return Measured(score, score, answer.part, found=found)


def same(one: str, other: str, alike: Sequence[set[str]] = _ALIKE) -> bool:
    """Whether a reader of one reads the other."""
    return one == other or any({one, other} <= group for group in alike)
