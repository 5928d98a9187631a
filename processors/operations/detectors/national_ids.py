"""National identity numbers with their check digits, by ``python-stdnum``.

A number is looked up by its written shape. Shapes that other numbers share as well (nine digits in
a row) count only after a word for such a number; those that prove themselves (two check digits, a
date of birth inside) always do.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module

from processors.operations.detectors.hits import Hit
from processors.operations.detectors.words import ID_WORDS, NOT_PERSONAL, word_before
from schemas.privacy import Entity

_SURE: dict[str, str] = {
    "ddd-dd-dddd": "us.ssn",
    "dddddddd-L": "es.dni", "ddddddddL": "es.dni", "LdddddddL": "es.nie",
    "L-ddddddd-L": "es.nie",
    "LLLLLLddLddLdddL": "it.codicefiscale",
    "LLLLddddddLLLLLLXd": "mx.curp",
    "dd.ddd.ddd-X": "cl.rut", "ddd.ddd.ddd-dd": "br.cpf", "dd-dddddddd-d": "ar.cuit",
    "d dd dd dd ddd ddd dd": "fr.nir", "ddddddddddddddd": "fr.nir",
    "dd.dd.dd-ddd.dd": "be.nn", "ddd.dddd.dddd.dd": "ch.ssn",
    "dddddd-dddd": "se.personnummer", "dddddddd-dddd": "se.personnummer",
    "dddddd-dddX": "fi.hetu", "ddddddLdddX": "fi.hetu",
    "dddddddddddddddddX": "cn.ric", "dddddd-ddddddd": "kr.rrn",
    "LL dd dd dd L": "gb.nino",
}  # fmt: skip
"""Written shape (d digit, L capital letter, X either) to the numbers it may be."""
_AFTER_A_WORD: dict[str, str] = {
    "ddddddddd": "us.ssn nl.bsn pt.nif ca.sin au.tfn il.idnr",
    "ddd ddd ddd": "nl.bsn pt.nif ca.sin au.tfn", "ddd-ddd-ddd": "ca.sin au.tfn",
    "dddd.dd.ddd": "nl.bsn", "dddddddd": "nl.bsn il.idnr",
    "dddddddddd": "gb.nhs bg.egn se.personnummer dk.cpr cz.rc",
    "ddd ddd dddd": "gb.nhs", "ddd-ddd-dddd": "gb.nhs",
    "ddddddddddd": "de.idnr pl.pesel be.nn no.fodselsnummer br.cpf ar.cuit hr.oib ee.ik tr.tckimlik"
                   " lt.asmens gr.amka",
    "dd ddd ddd ddd": "de.idnr", "dddddd ddddd": "no.fodselsnummer",
    "dddddddddddd": "in_.aadhaar se.personnummer ru.inn", "dddd dddd dddd": "in_.aadhaar",
    "dddd-dddd-dddd": "in_.aadhaar",
    "ddddddddddddd": "za.idnr ro.cnp th.pin ch.ssn kr.rrn", "dddddd dddd ddd": "za.idnr",
    "d dddd ddddd dd d": "th.pin", "d-dddd-ddddd-dd-d": "th.pin",
    "dddddd-dddd": "dk.cpr", "dddddd/dddd": "cz.rc", "dddddd/ddd": "cz.rc",
    "dddddddL": "ie.pps", "dddddddLL": "ie.pps", "LLddddddL": "gb.nino",
    "LLLLLddddL": "in_.pan",
    "ddddddddX": "cl.rut", "d.ddd.ddd-X": "cl.rut", "dddddddd-X": "cl.rut",
}  # fmt: skip
_NINO = re.compile(r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][0-9]{6}[A-D]")
"""No check digit: the prefixes that are given out."""
_CLASSES = {"d": "[0-9]", "L": "[A-Z]", " ": " ", ".": r"\.", "-": "-", "/": "/"}
_TO_SHAPE = str.maketrans("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", "d" * 10 + "L" * 26)
_NOT_ALNUM = re.compile("[^0-9A-Z]")


def _expanded(table: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Every ``X`` as a digit and as a letter."""
    found: dict[str, tuple[str, ...]] = {}
    for shape, names in table.items():
        for option in "dL":
            key = shape.replace("X", option)
            found[key] = tuple(dict.fromkeys((*found.get(key, ()), *names.split())))
    return found


_SURE_SHAPES, _SHAPES_AFTER_A_WORD = _expanded(_SURE), _expanded(_AFTER_A_WORD)


def _pattern(first: str) -> re.Pattern[str]:
    """Shapes that begin with a digit or with a letter, the longest first."""
    shapes = {shape for shape in (*_SURE_SHAPES, *_SHAPES_AFTER_A_WORD) if shape[0] == first}
    rest = ("".join(_CLASSES[char] for char in shape[1:]) for shape in sorted(shapes, key=_rank))
    begin = _CLASSES[first]
    # What none of the shapes begins with is refused before they are tried one by one.
    ahead = r"(?=[0-9 .\-/]{6})" if first == "d" else r"(?=[0-9A-Z \-]{7})"
    return re.compile(
        rf"{begin}{ahead}(?<![A-Za-z0-9_.\-/]{begin})(?:{'|'.join(rest)})(?![A-Za-z0-9_]|[.\-/][0-9])"
    )


def _rank(shape: str) -> tuple[int, str]:
    return -len(shape), shape


_PATTERNS = (_pattern("d"), _pattern("L"))


def national_ids(text: str) -> Iterator[Hit]:
    """Identity, social security and tax numbers of people."""
    for pattern in _PATTERNS:
        for match in pattern.finditer(text):
            if _is_id(text, match.start(), match[0]):
                value = _NOT_ALNUM.sub("", match[0])
                yield Hit(match.start(), match.end(), Entity.NATIONAL_ID, value)


def _is_id(text: str, start: int, written: str) -> bool:
    shape = written.translate(_TO_SHAPE)
    sure = _passes(_SURE_SHAPES.get(shape, ()), written)
    if sure and not word_before(NOT_PERSONAL, text, start):
        return True
    after_a_word = _SHAPES_AFTER_A_WORD.get(shape, ())
    if not (sure or after_a_word) or not word_before(ID_WORDS, text, start):
        return False
    return sure or _passes(after_a_word, written)


def _passes(names: tuple[str, ...], written: str) -> bool:
    return any(_validator(name)(written) for name in names)


@cache
def _validator(name: str) -> Callable[[str], bool]:
    """The check of one country's number."""
    if name == "gb.nino":
        return lambda written: _NINO.fullmatch(_NOT_ALNUM.sub("", written)) is not None
    check: Callable[[str], bool] = import_module(f"stdnum.{name}").is_valid
    return check


NUMBERS = tuple(sorted({n for names in (*_SURE.values(), *_AFTER_A_WORD.values())
                        for n in names.split()}))  # fmt: skip
"""The numbers known, as ``country.name``."""
