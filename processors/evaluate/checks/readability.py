"""How hard the answer is to read: LIX, words a sentence plus the share of long words.

LIX (Björnsson 1968) needs no syllables, so that it holds for every language written with letters
and spaces: 30 is easy, 40 a newspaper, 60 a statute. A value is for comparing an application with
itself: it drifts when prompts or models change.
"""

import re

from processors.evaluate.checks.subject import Measured, Subject, without_code

VERSION = "lix-1"
WORDS_MIN = 80
SENTENCES_MIN = 3
LONG_WORD_CHARS = 7
SCALE = 100.0
_NOT_PROSE = re.compile(r"https?://\S+|^[ \t]*\|.*$|^[ \t]*[{\[\"<].*$", re.M)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_SENTENCE_END = re.compile(r"[.!?…:](?=\s|$)|\n[ \t]*(?=[-*•\d#])|\n\s*\n")
_NO_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff]")


def readability(subject: Subject) -> Measured | None:
    """The longest answer's value."""
    if not subject.is_answered or not subject.answers:
        return None
    answer = max(subject.answers, key=lambda passage: len(passage.text))
    value = lix(answer.text)
    return None if value is None else Measured(min(value / SCALE, 1.0), value, answer.part)


def lix(text: str) -> float | None:
    """LIX of the prose in a text; None where there is too little, or none with spaces."""
    prose = _NOT_PROSE.sub(" ", without_code(text))
    words = _WORD.findall(prose)
    if len(words) < WORDS_MIN or len(_NO_SPACES.findall(prose)) > len(words):
        return None
    sentences = len(_SENTENCE_END.findall(prose.strip()))
    if sentences < SENTENCES_MIN:
        return None
    long_words = sum(len(word) >= LONG_WORD_CHARS for word in words)
    return round(len(words) / sentences + 100 * long_words / len(words), 2)
