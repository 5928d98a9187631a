"""Splits SQL text into tokens the way ClickHouse's lexer does.

Pure. Needed to tell code from comments and literals when a statement is classified, when inline
insert data is cut off, and when a read-only request is checked. Raises :class:`LexError` where
the text has an unterminated comment or literal.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["word", "quoted", "string", "number", "symbol"]

_PATTERN = re.compile(
    r"""
    (?P<space>[\s\u200b\ufeff]+)
  | (?P<comment>--[^\n]*|\#[!\ ][^\n]*|/\*.*?\*/)
  | (?P<heredoc>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
  | (?P<string>'(?:[^'\\]|\\.|'')*')
  | (?P<quoted>`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*")
  | (?P<word>[A-Za-z_][A-Za-z0-9_$]*)
  | (?P<number>\d[\w.]*)
  | (?P<symbol>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_UNTERMINATED = frozenset("'`\"‘’“”")


class LexError(ValueError):
    """The text ends inside a comment or literal."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token; ``text`` is unquoted for ``quoted`` and ``string``; ``end`` is an offset."""

    kind: Kind
    text: str
    end: int

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these keywords (lower case), in any case."""
        return self.kind == "word" and self.text.lower() in words


def tokenise(sql: str) -> Iterator[Token]:
    """Tokens of ``sql`` without white space and comments; lazily, so a prefix is cheap."""
    position = 0
    while position < len(sql):
        match = _PATTERN.match(sql, position)
        if match is None:  # DOTALL '.' matches anything, so this is unreachable by construction
            raise LexError(f"cannot read the statement at character {position}")
        position = match.end()
        kind = match.lastgroup
        text = match.group()
        if match.group("heredoc") is not None:
            yield Token("string", text, position)
        elif kind in ("string", "quoted"):
            yield Token(kind, _unquote(text), position)  # type: ignore[arg-type]
        elif kind in ("word", "number"):
            yield Token(kind, text, position)  # type: ignore[arg-type]
        elif kind == "symbol":
            if text in _UNTERMINATED or sql.startswith("/*", match.start()):
                raise LexError(f"unterminated literal or comment at character {match.start()}")
            yield Token("symbol", text, position)


def _unquote(text: str) -> str:
    """Contents of a quoted token, escapes undone."""
    quote, body = text[0], text[1:-1]
    return re.sub(r"\\(.)", r"\1", body.replace(quote * 2, quote), flags=re.DOTALL)
