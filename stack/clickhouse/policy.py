"""What a request without the product's token may run: reads of the tables, nothing else.

The engine has no users. Its own ``readonly`` setting (also applied) stops writes and most table
functions, but measured on chdb 26.9 it lets through INTO OUTFILE, KILL, DESCRIBE of a file or
URL, the scalar ``file()`` and ``Python()``; and any quoted name that is a path is read as a file.
These are refused here, before the engine sees the statement. Pure; raises
:class:`StatementError`.
"""

from collections.abc import Iterable, Mapping

from stack.clickhouse.statement import Statement, StatementError

READONLY = 164

_HARMLESS_TABLE_FUNCTIONS = frozenset(
    {
        "numbers",
        "numbers_mt",
        "zeros",
        "zeros_mt",
        "generateseries",
        "generate_series",
        "primes",
        "values",
        "view",
        "null",
        "format",  # also a scalar function; as a table function it reads only its own text
    }
)
_REFUSED_SCALARS = frozenset({"file", "python", "sleep", "sleepeachrow", "catboostevaluate"})
_REFUSED_WORDS = ("outfile", "infile")


def refused_functions(table_functions: Iterable[str], functions: Iterable[str]) -> frozenset[str]:
    """Names (lower case) that a read-only request may not call, from the engine's own lists.

    Every table function not known to be harmless is refused, so that a new engine's new ones
    start out refused; so are scalar functions that reach the host or a network service.
    """
    tables = {name.lower() for name in table_functions} - _HARMLESS_TABLE_FUNCTIONS
    services = {name.lower() for name in functions if name.startswith(("ai", "AI"))}
    return frozenset(tables | services | _REFUSED_SCALARS)


def check_read_only(
    statement: Statement, parameters: Mapping[str, str], refused: frozenset[str]
) -> None:
    """Raise :class:`StatementError` unless a request without the token may run this."""
    if not statement.reads:
        raise _refusal(f"{statement.verb.upper() or 'this statement'} needs the product's token")
    # The raw text as well: no spelling of the clause survives this, whatever the lexer thinks.
    lowered = statement.sql.lower()
    for word in _REFUSED_WORDS:
        if word in lowered:
            raise _refusal(f"{word.upper()} reaches the host's files")
    tokens = statement.tokens
    for token, after in zip(tokens, (*tokens[1:], None), strict=True):
        called = after is not None and after.kind == "symbol" and after.text == "("
        if called and token.kind in ("word", "quoted") and token.text.lower() in refused:
            raise _refusal(f"the function {token.text} is not for read-only requests")
        if token.kind == "quoted" and _is_path(token.text):
            raise _refusal("a quoted name that is a path would be read as a file")
        names_table = statement.verb in ("exists", "show", "describe", "desc")
        if names_table and token.kind == "string" and _is_path(token.text):
            raise _refusal("a path in place of a table's name would be read as a file")
    if any(_is_path(value) for name, value in parameters.items() if _names_table(statement, name)):
        raise _refusal("a parameter used as a name may not be a path")


def _is_path(name: str) -> bool:
    return "/" in name or "\\" in name


def _names_table(statement: Statement, parameter: str) -> bool:
    """Whether the parameter is substituted as an identifier, ``{name:Identifier}``."""
    texts = [token.text for token in statement.tokens]
    return any(
        texts[i : i + 2] == [parameter, ":"] and texts[i + 2].lower() == "identifier"
        for i in range(len(texts) - 2)
    )


def _refusal(text: str) -> StatementError:
    return StatementError(READONLY, "READONLY", f"Cannot execute query in readonly mode: {text}")
