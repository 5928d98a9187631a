"""Templates of alerts' annotations: text with ``{placeholders}``.

They know ``{service_name}``, ``{trace_ids}``, ``{count}`` and ``{value}``, those of a rule that is
evaluated over time the labels that it finds as well, and nothing else: no attribute access, no
format specifications. A value is never read as a template.
"""

from collections import defaultdict
from collections.abc import Mapping
from string import Formatter
from typing import Annotated

from pydantic import AfterValidator

PLACEHOLDERS = frozenset({"service_name", "trace_ids", "count", "value"})


def rendered(templates: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Annotations with their placeholders filled in, a label that is not there by nothing."""
    known = defaultdict(str, values)
    return {name: template.format_map(known) for name, template in templates.items()}


def _checked(template: str, any_label: bool) -> str:
    try:
        fields = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"not a template: {error}") from None
    for _, name, specification, conversion in fields:
        if name is None:
            continue
        known = name in PLACEHOLDERS or (any_label and name.isidentifier())
        if not known or specification or conversion:
            raise ValueError(
                f"unknown placeholder {{{name}}}; known: {', '.join(sorted(PLACEHOLDERS))}"
            )
    return template


def _of_a_signal(template: str) -> str:
    return _checked(template, any_label=False)


def _of_labels(template: str) -> str:
    return _checked(template, any_label=True)


SignalTemplate = Annotated[str, AfterValidator(_of_a_signal)]
LabelTemplate = Annotated[str, AfterValidator(_of_labels)]
"""Knows every label that the rule's query returns."""
