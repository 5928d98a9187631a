"""Where text stands when nobody typed it: tool results, web pages, mail, code, logs, tables.

A carrier puts a few pieces of text into a frame. It knows nothing of attacks: the same frame is
filled with harmless pieces, and with one piece that gives orders.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

from training.written.template import phrases

_NAMES = phrases("""Anna Keller; Tom Becker; Priya Nair; Luis Ortega; Mei Tan; Omar Haddad; Eva Novak;
    Jack Doyle; Sofia Rossi; Ben Carter; <EMAIL_M4PL>; <PHONE_77QA>; Yuki Mori; Grace Obi""")
_TITLES = phrases("""Q3 planning; Trip to Lisbon; Invoice 20391; Re: your order; Notes from Monday; Blue
    kettle 1.7 l; Two-room flat near the park; Team lunch; Release 4.2; Dentist appointment; Weekly
    digest; Password policy; Running shoes; Garden tips; Shipping update; Untitled document""")
_KEYS = phrases(
    "description; content; body; review; notes; comment; text; summary; message; bio; details"
)
_TOOLS = phrases("""search_products; get_email; read_file; fetch_page; list_events; get_reviews;
    get_profile; query_database; get_messages; search_notes; open_issue; get_transcript""")

Pieces = Sequence[str]
Carrier = Callable[[Pieces, random.Random], str]


def _day(rng: random.Random) -> str:
    return f"20{rng.randrange(19, 27)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"


def _record(piece: str, rng: random.Random) -> dict[str, object]:
    record: dict[str, object] = {
        "id": rng.randrange(10_000, 99_999),
        "title": rng.choice(_TITLES),
        "author": rng.choice(_NAMES),
        "date": _day(rng),
        "rating": rng.randrange(1, 6),
        "status": rng.choice(("open", "done", "active", "archived")),
    }
    for key in rng.sample(list(record), rng.randrange(1, 5)):
        record.pop(key)
    record[rng.choice(_KEYS)] = piece
    return record


def _json(pieces: Pieces, rng: random.Random) -> str:
    """A tool's result, flat, nested or as a list."""
    records = [_record(piece, rng) for piece in pieces]
    kind = rng.randrange(3)
    found: object = records if kind == 0 else {rng.choice(("results", "items", "data")): records}
    if kind == 2 or len(records) == 1:
        found = {"tool": rng.choice(_TOOLS), "ok": True, **records[0], "more": records[1:]}
    if rng.random() < 0.25:
        return str(found)
    return json.dumps(found, indent=rng.choice((None, None, 2)), ensure_ascii=False)


def _html(pieces: Pieces, rng: random.Random) -> str:
    """A page; a piece may stand in a comment, an attribute or hidden text."""
    frames = (
        "<p>{}</p>", "<li>{}</li>", "<div class='post'>{}</div>", "<td>{}</td>", "<h2>{}</h2>",
        "<!-- {} -->", '<span style="display:none">{}</span>', '<img src="a.png" alt="{}">',
        '<meta name="description" content="{}">', "<blockquote>{}</blockquote>",
        '<div style="color:white;font-size:1px">{}</div>',
    )  # fmt: skip
    body = rng.choice(("", "\n")).join(rng.choice(frames).replace("{}", p) for p in pieces)
    if rng.random() < 0.5:
        return body
    return f"<html><head><title>{rng.choice(_TITLES)}</title></head><body>{body}</body></html>"


def _mail(pieces: Pieces, rng: random.Random) -> str:
    head = f"From: {rng.choice(_NAMES)}\nTo: {rng.choice(_NAMES)}\nSubject: {rng.choice(_TITLES)}"
    if rng.random() < 0.5:
        head += f"\nDate: {_day(rng)}"
    body = rng.choice(("\n\n", "\n", " ")).join(pieces)
    end = rng.choice(("Best,", "Kind regards,", "Thanks,", "Cheers,"))
    return f"{head}\n\n{rng.choice(('Hi,', 'Hello,', 'Dear all,'))}\n{body}\n{end}\n{_NAMES[0]}"


def _code(pieces: Pieces, rng: random.Random) -> str:
    """A snippet whose comments, strings or docstring hold the pieces."""
    name = rng.choice(("load", "total", "parse", "send", "render", "clean", "main"))
    out = [rng.choice(("import os", "import json", "from app import db", "const x = 1;"))]
    for piece in pieces:
        flat = " ".join(piece.split())
        out.append(rng.choice((f"# {flat}", f"// {flat}", f'msg = "{flat}"', f"/* {flat} */")))
    out.insert(
        rng.randrange(1, len(out) + 1), f"def {name}(rows):\n    return [r for r in rows if r]"
    )
    return "\n".join(out)


def _log(pieces: Pieces, rng: random.Random) -> str:
    made = []
    for piece in pieces:
        level = rng.choice(("INFO", "WARN", "DEBUG", "ERROR"))
        made.append(f"{_day(rng)} {rng.randrange(24):02}:{rng.randrange(60):02} {level} {piece}")
    return "\n".join(made)


def _table(pieces: Pieces, rng: random.Random) -> str:
    """Markdown or comma-separated rows."""
    if rng.random() < 0.4:
        rows = [f'{i},"{rng.choice(_NAMES)}","{p}"' for i, p in enumerate(pieces, 1)]
        return "\n".join(["id,name,comment", *rows])
    rows = [f"| {rng.choice(_TITLES)} | {_day(rng)} | {p} |" for p in pieces]
    return "\n".join(["| Title | Date | Note |", "| --- | --- | --- |", *rows])


def _hits(pieces: Pieces, rng: random.Random) -> str:
    mark = rng.choice(("[{}] ", "Result {}: ", "<document index='{}'>\n", "Source {}:\n"))
    return "\n\n".join(mark.replace("{}", str(i)) + p for i, p in enumerate(pieces, 1))


def _chat(pieces: Pieces, rng: random.Random) -> str:
    return "\n".join(f"{rng.choice(_NAMES)}: {piece}" for piece in pieces)


def _plain(pieces: Pieces, rng: random.Random) -> str:
    return rng.choice(("\n\n", "\n", " ", " ")).join(pieces)


CARRIERS: tuple[tuple[Carrier, int], ...] = (
    (_json, 30), (_plain, 24), (_html, 12), (_mail, 12), (_code, 8), (_hits, 6), (_table, 5),
    (_chat, 5), (_log, 4),
)  # fmt: skip


def carried(pieces: Pieces, rng: random.Random) -> str:
    """The pieces, in order, in one of the frames."""
    carriers, weights = zip(*CARRIERS, strict=True)
    return str(rng.choices(carriers, weights)[0](pieces, rng))
