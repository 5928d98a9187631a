"""Statements are taken apart as ClickHouse would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.clickhouse.statement import StatementError, is_insert, parse, parse_insert
from stack.clickhouse.tokens import LexError, tokenise


def texts(sql: str) -> list[str]:
    return [token.text for token in tokenise(sql)]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT a.b,1.5e3", ["SELECT", "a", ".", "b", ",", "1.5e3"]),
        ("'it''s' 'a\\'b' `c``d` \"e\\\"f\"", ["it's", "a'b", "c`d", 'e"f']),
        ("a -- b 'c\nd /* e ' */ f # g\nh", ["a", "d", "f", "h"]),
        ("$x$ ' -- $x$ y", ["$x$ ' -- $x$", "y"]),
        ("'-- not a comment' /* 'x */", ["-- not a comment"]),
        ("a$b_1 {x:String}", ["a$b_1", "{", "x", ":", "String", "}"]),
    ],
)
def test_tokens(sql: str, expected: list[str]) -> None:
    assert texts(sql) == expected


@pytest.mark.parametrize("sql", ["'open", "`open", '"open', "/* open", "a ‘b’", "'open\\'"])
def test_open_literals_are_errors(sql: str) -> None:
    with pytest.raises(LexError):
        texts(sql)


@given(st.text(max_size=200))
def test_any_text_is_tokenised_or_refused(sql: str) -> None:
    try:
        ends = [token.end for token in tokenise(sql)]
    except LexError:
        return
    assert ends == sorted(ends)
    assert all(0 < end <= len(sql) for end in ends)


@pytest.mark.parametrize(
    ("sql", "output_format"),
    [
        ("SELECT 1", "TabSeparated"),
        ("SELECT 1 FORMAT Native", "Native"),
        ("SELECT 1\n format json -- FORMAT CSV\n;", "json"),
        ("SELECT (SELECT 1 FORMAT CSV)", "TabSeparated"),
        ("SELECT format('{}', 1) AS format", "TabSeparated"),
        ("CREATE TABLE t (a Int8)", None),
    ],
)
def test_output_format(sql: str, output_format: str | None) -> None:
    assert parse(sql).output_format == output_format


@pytest.mark.parametrize("sql", ["", " ; ", "-- nothing", "SELECT 1; SELECT 2", "SELECT 'x"])
def test_no_or_several_statements_are_refused(sql: str) -> None:
    with pytest.raises(StatementError):
        parse(sql)


@pytest.mark.parametrize(
    ("body", "sql", "insert_format", "data"),
    [
        (b"INSERT INTO t FORMAT Native\n\x00\xff", "INSERT INTO t", "Native", b"\x00\xff"),
        (b"INSERT INTO t FORMAT CSV 1,2\n", "INSERT INTO t", "CSV", b"1,2\n"),
        (b"insert into t (a) values (1)", "insert into t (a)", "Values", b" (1)"),
        (b"INSERT INTO t (format, values) FORMAT CSV\n1,2", "INSERT INTO t (format, values)",
         "CSV", b"1,2"),
        (b"INSERT INTO `format x` FORMAT CSV\n1", "INSERT INTO `format x`", "CSV", b"1"),
        (b"/* format */ INSERT INTO t SETTINGS a=1 FORMAT TSV\r\n1",
         "/* format */ INSERT INTO t SETTINGS a=1", "TSV", b"1"),
    ],
)  # fmt: skip
def test_insert_data_is_cut_off(body: bytes, sql: str, insert_format: str, data: bytes) -> None:
    assert is_insert(body)
    insert = parse_insert(body)
    assert insert is not None
    assert (insert.sql, insert.insert_format) == (sql, insert_format)
    assert body[insert.data_offset :] == data


@pytest.mark.parametrize(
    "body",
    [b"INSERT INTO t SELECT * FROM values('a Int8', 1)", b"INSERT INTO t WITH 1 AS x SELECT x"],
)
def test_an_insert_of_a_query_has_no_data(body: bytes) -> None:
    assert is_insert(body)
    assert parse_insert(body) is None
