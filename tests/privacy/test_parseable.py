"""Spans of JSON and code stay parseable after masking."""

import ast
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.operations.redact import Redactor
from tests.privacy.corpus import made
from tests.privacy.planted import SHORT, VALUES

REDACTOR = Redactor(b"0123456789abcdef0123456789abcdef")
NUMBERS = (4111111111111111, 5555555555554444, -4111111111111111)


def redacted(text: str) -> str:
    """The text masked, its findings pointing at placeholders (or at zeros)."""
    masked, findings = REDACTOR.redact(text, "t", "aa", "p")
    for finding in findings:
        stand_in = masked[finding.start : finding.end]
        assert stand_in.startswith("<") or set(stand_in) <= {"0", "-"}
    return masked


# Unpaired quotes in a text are told apart from those of JSON in it by the whole parse alone.
plain_text = st.text(st.characters(exclude_characters='"\\'), max_size=8)
leaves = st.one_of(
    st.sampled_from(SHORT),
    st.sampled_from(NUMBERS),
    st.builds("{0}\n{1}\t\\{0}".format, st.sampled_from(SHORT), st.sampled_from(SHORT)),
    st.builds("{} \"{}\" 'é\\u00e9'".format, plain_text, st.sampled_from(SHORT)),
    st.builds("{1}{0}{1}".format, st.sampled_from(SHORT), st.sampled_from("ü\b\f\u00a0📞\u200b«/")),
    plain_text,
    st.integers(),
    st.floats(allow_nan=False),
    st.none(),
)
SECRET_KEYS = ("password", "api_key")
"""Their texts are masked whole, whatever they look like."""
keys = st.one_of(st.sampled_from(("card", *SECRET_KEYS, "phone", "n")), plain_text)
documents = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(keys, inner, max_size=4),
        st.builds(json.dumps, inner),
        st.builds(lambda value: json.dumps(value, indent=2), inner),
    ),
    max_leaves=12,
)


def shape(value: Any) -> Any:
    """What a value is made of; JSON inside strings too."""
    if isinstance(value, dict):
        secret = [key in SECRET_KEYS and isinstance(item, str) for key, item in value.items()]
        return {
            "values": [
                "leaf" if whole else shape(item)
                for whole, item in zip(secret, value.values(), strict=True)
            ]
        }
    if isinstance(value, list):
        return [shape(item) for item in value]
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return ("json", shape(json.loads(value)))
        except ValueError:
            return "leaf"
    return "leaf"


@settings(max_examples=400, deadline=None)
@given(documents, st.booleans())
def test_json_stays_json_of_the_same_shape(document: Any, ascii_only: bool) -> None:
    text = json.dumps({"document": document}, ensure_ascii=ascii_only)
    before, after = json.loads(text), json.loads(redacted(text))
    assert shape(after) == shape(before)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "text",
    ['{{"card": {}}}', "[{}]", '{{"a":[1,{},2],"b":{}}}', '{{\n  "pan": {},\n  "n": 1\n}}',
     '{{"arguments": "{{\\"card\\": {}}}"}}', '{{"arguments": "[{}, 2]"}}',
     '{{"x": "{{\\"y\\": \\"{{\\\\\\"z\\\\\\": {}}}\\"}}"}}'],
)  # fmt: skip
def test_bare_numbers_in_json_at_every_depth(text: str, number: int) -> None:
    masked = redacted(text.format(*[number] * text.count("{}")))
    assert str(abs(number)) not in masked
    value = json.loads(masked)
    for key in ("arguments", "x"):
        if isinstance(value, dict) and key in value:
            inner = json.loads(value[key])
            if isinstance(inner, dict) and "y" in inner:
                json.loads(inner["y"])


PYTHON = [
    "card = {number}\n",
    "pay(card={number}, amount=3)\n",
    "CARDS = [{number}, {number}]\nprint(CARDS)\n",
    "data = {{'card': {number}, 'mail': 'jane.leak@example.org'}}\n",
    "def f():\n    return {number}\n",
    "client = Client(api_key='{key}', password=\"hunter22x\")\n",
    "connect(host='db', password=hunter22x)\n",
    "url = 'postgres://u:Le4kyPassw0rd@db/x'  # ask jane.leak@example.org\n",
    's = """Call +14155550142\nor mail {{}}\n""".format(\'jane.leak@example.org\')\n',
    "password = get_password(user)\ntoken = session.token\nsecret = os.environ['SECRET']\n",
    "if password == expected and api_key != other: pass\n",
    "KEY = '''{pem}'''\n",
]


@pytest.mark.parametrize("source", PYTHON)
def test_code_stays_code(source: str) -> None:
    text = source.format(number=4111111111111111, key=made("openai"), pem=made("pem"))
    ast.parse(text)
    masked = redacted(text)
    ast.parse(masked)
    assert not any(value in masked for value in ("4111111111111111", made("openai"), "Le4ky"))


def test_code_without_values_is_not_touched() -> None:
    for source in PYTHON[9:11]:
        assert redacted(source) == source


def test_an_escape_is_masked_whole() -> None:
    for character in "ü\b\f\u200b📞":
        for value in SHORT:
            hidden = character + value
            masked = json.loads(redacted(json.dumps({"v": [hidden, json.dumps(hidden)]})))
            json.loads(masked["v"][1])
            assert value not in str(masked)


def test_every_value_inside_a_json_string_leaves_valid_json() -> None:
    for value in (*SHORT, *VALUES.values()):
        for text in (
            json.dumps({"v": value}),
            json.dumps(json.dumps({"v": [value, f"\n{value}"]})),
        ):
            json.loads(redacted(text))
