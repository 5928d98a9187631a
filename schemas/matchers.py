"""Alertmanager's matchers of labels: ``name="value"`` with = != =~ !~.

A label that is not there is the empty string; regular expressions match the whole value.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_FORM = re.compile(
    r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"]*))\s*'
)
_TESTS: Mapping[str, Callable[["Matcher", str], bool]] = {
    "=": lambda matcher, value: value == matcher.value,
    "!=": lambda matcher, value: value != matcher.value,
    "=~": lambda matcher, value: re.fullmatch(matcher.value, value) is not None,
    "!~": lambda matcher, value: re.fullmatch(matcher.value, value) is None,
}


class MatcherError(ValueError):
    """A text is no matcher; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label."""

    name: str
    operator: str
    value: str

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet it."""
        return _TESTS[self.operator](self, labels.get(self.name, ""))


def parse(text: str) -> Matcher:
    """A matcher from its text. Raises :class:`MatcherError`."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise MatcherError(f'{text!r} is no matcher, such as severity="page" or service=~"shop.*"')
    name, operator, quoted, bare = found.groups()
    value = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    if operator.endswith("~"):
        value = bare if quoted is None else quoted.replace('\\"', '"')
        try:
            re.compile(value)
        except re.error as error:
            raise MatcherError(f"{text!r}: {error}") from None
    return Matcher(name, operator, value)


def checked_matcher(text: str) -> str:
    """The text, once it is a matcher. Raises :class:`MatcherError`."""
    parse(text)
    return text
