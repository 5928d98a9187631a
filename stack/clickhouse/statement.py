"""What a statement is: its kind, its output format, and where inline insert data begins.

Pure. Needed because the engine is given a statement and its data apart, while HTTP clients send
them as one body. Raises :class:`StatementError` (with ClickHouse's error code) for text that a
server would refuse too, such as several statements at once.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

from stack.clickhouse.tokens import LexError, Token, tokenise

SYNTAX_ERROR = 62
HEAD_BYTES = 1 << 20
"""An INSERT's head (up to its data) must lie within this many bytes."""

READS = frozenset({"select", "with", "show", "describe", "desc", "explain", "exists", "from"})
_ANSWERS = READS | {"check", "kill", "optimize"}
_INSERT_DATA = re.compile(rb"\b(format|values)\b", re.IGNORECASE)
_FORMAT_NAME = re.compile(rb"\s*([A-Za-z_][A-Za-z0-9_]*)[ \t\f;]*(\r?\n)?")


class StatementError(ValueError):
    """The statement cannot be run; ``code`` is ClickHouse's."""

    def __init__(self, code: int, name: str, text: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text}. ({name})")
        self.code = code


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement.

    ``sql`` is what the engine runs; ``insert_format`` is set for INSERT ... FORMAT x, whose data
    starts at byte ``data_offset`` of the text given; ``output_format`` is set where the statement
    answers with rows.
    """

    sql: str
    tokens: tuple[Token, ...]
    verb: str
    output_format: str | None = None
    insert_format: str | None = None
    data_offset: int = 0

    @property
    def reads(self) -> bool:
        """Whether the verb is one that only reads."""
        return self.verb in READS


def is_insert(head: bytes) -> bool:
    """Whether the text, of which ``head`` is the beginning, is an INSERT."""
    try:
        for token in tokenise(head.decode("utf-8", "replace")):
            return token.is_word("insert")
    except LexError:
        return False
    return False


def parse_insert(head: bytes) -> Statement | None:
    """The INSERT ... FORMAT x (or VALUES) that begins ``head``, or None if it carries no data.

    ``head`` may end anywhere in the data. Binary data follows the format's name, so only the
    text up to a candidate FORMAT is ever decoded.
    """
    for match in _INSERT_DATA.finditer(head[:HEAD_BYTES]):
        try:
            sql = head[: match.start()].decode("utf-8")
            tokens = tuple(tokenise(sql))
        except (UnicodeDecodeError, LexError):
            continue  # this word is inside a literal or comment
        if any(token.is_word("select", "with", "watch") for token in tokens):
            return None
        texts = [token.text for token in tokens if token.kind == "symbol"]
        if texts.count("(") != texts.count(")"):
            continue  # a column of that name
        insert_format, data_offset = "Values", match.end()
        if match.group(1).lower() == b"format":
            name = _FORMAT_NAME.match(head, match.end())
            if name is None:
                return None
            insert_format, data_offset = name.group(1).decode(), name.end()
        return Statement(
            sql=sql.rstrip(),
            tokens=tokens,
            verb="insert",
            insert_format=insert_format,
            data_offset=data_offset,
        )
    return None


def parse(sql: str, default_format: str = "TabSeparated") -> Statement:
    """A whole statement without inline data. Raises :class:`StatementError`."""
    try:
        tokens = list(tokenise(sql))
    except LexError as error:
        raise StatementError(SYNTAX_ERROR, "SYNTAX_ERROR", f"Syntax error: {error}") from error
    while tokens and tokens[-1].text == ";" and tokens[-1].kind == "symbol":
        tokens.pop()
    if not tokens:
        raise StatementError(SYNTAX_ERROR, "SYNTAX_ERROR", "Empty query")
    if any(token.kind == "symbol" and token.text == ";" for token in tokens):
        raise StatementError(
            SYNTAX_ERROR, "SYNTAX_ERROR", "Syntax error: multi-statements are not allowed"
        )
    first = next((token for token in tokens if token.text != "("), tokens[0])
    verb = first.text.lower() if first.kind == "word" else ""
    return Statement(
        sql=sql[: tokens[-1].end],
        tokens=tuple(tokens),
        verb=verb,
        output_format=_output_format(tokens, default_format) if verb in _ANSWERS else None,
    )


def _output_format(tokens: list[Token], default_format: str) -> str:
    """Name after the last top-level FORMAT, else the default."""
    depth = 0
    found = default_format
    for token, after in pairwise(tokens):
        if token.kind == "symbol":
            depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.is_word("format") and after.kind == "word":
            found = after.text
    return found
