"""What a check sees of a call, and what it says of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from processors.evaluate.context import Passage, Prepared
from schemas.evaluators import Target
from schemas.records import LLM_KINDS, Call, Operation, Part

_FENCE = re.compile(r"^[ \t]{0,3}(```|~~~)", re.M)
_INLINE_CODE = re.compile(r"`[^`\n]+`")


@dataclass(frozen=True)
class Subject:
    """One call. ``limit_chars`` is where texts are cut."""

    operation: Operation
    prepared: Prepared
    limit_chars: int
    canaries: tuple[str, ...] = ()

    @property
    def call(self) -> Call:
        """Its figures."""
        return self.operation.call

    @property
    def is_answered(self) -> bool:
        """Whether a model was to answer and did not fail."""
        return self.call.kind in LLM_KINDS and self.call.status != "error"

    @cached_property
    def answers(self) -> list[Passage]:
        """The model's texts."""
        return self._of(Target.OUTPUT)

    @cached_property
    def questions(self) -> list[Passage]:
        """The user's texts."""
        return self._of(Target.INPUT)

    @cached_property
    def system(self) -> list[Passage]:
        """The application's instructions."""
        found = enumerate(self.operation.content.system)
        return [
            Passage(Target.INPUT, f"system/{i}", part.text[: self.limit_chars])
            for i, part in found
            if part.text.strip()
        ]

    @cached_property
    def tool_calls(self) -> list[tuple[str, Part]]:
        """Calls of tools that the model asked for, with their paths."""
        return [
            (f"output/{m}/{p}", part)
            for m, message in enumerate(self.operation.content.output)
            for p, part in enumerate(message.parts)
            if part.type == "tool_call"
        ]

    def _of(self, target: Target) -> list[Passage]:
        return [passage for passage in self.prepared.passages if passage.target is target]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a check found: ``value`` in its own unit, ``score`` in [0, 1] and higher is worse."""

    score: float
    value: float
    part: str = ""
    start: int = 0
    end: int = 0
    found: tuple[str, ...] = ()
    decoded: str = ""


def worst(found: Sequence[Measured]) -> Measured | None:
    """The one with the highest score; None of none."""
    return max(found, key=lambda one: one.score, default=None)


def prose_spans(text: str) -> list[tuple[int, int]]:
    """Character ranges outside fenced code. A fence that is never closed runs to the end."""
    spans: list[tuple[int, int]] = []
    start, fence = 0, ""
    for match in _FENCE.finditer(text):
        if not fence:
            spans.append((start, match.start()))
            fence = match.group(1)
        elif match.group(1) == fence:
            line_end = text.find("\n", match.end())
            start, fence = (len(text) if line_end < 0 else line_end), ""
    if not fence:
        spans.append((start, len(text)))
    return [(begin, end) for begin, end in spans if begin < end]


def without_code(text: str) -> str:
    """The text with code blanked out, every character at its place."""
    pieces: list[str] = []
    read = 0
    for start, end in prose_spans(text):
        pieces += (" " * (start - read), _INLINE_CODE.sub(_blank, text[start:end]))
        read = end
    pieces.append(" " * (len(text) - read))
    return "".join(pieces)


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])
