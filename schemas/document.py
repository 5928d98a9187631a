"""Writes the pages generated from the contracts: ``python -m schemas.document``.

``docs/metrics.md`` from :mod:`schemas.metrics`, ``docs/configuration.md`` from
:mod:`schemas.config`, ``docs/topics.md`` from :mod:`schemas.topics` and :mod:`schemas.records`.
A test compares the committed pages, so that they cannot say something else than the code.
"""

import inspect
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel, PlainSerializer, SecretStr
from pydantic.fields import FieldInfo

from schemas import metrics
from schemas.config import MIB, PACKAGE_ROOT, Config
from schemas.encoding import RECORDS
from schemas.records import Record
from schemas.section import Section
from schemas.topics import (
    ATTEMPTS_HEADER,
    DAY_MS,
    HOUR_MS,
    SCHEMA_HEADER,
    SCHEMA_VERSION,
    TENANT_HEADER,
    TIMESTAMP_HEADER,
    TOPICS,
)

DOCS = PACKAGE_ROOT / "docs"
KIB = 1 << 10

_NAMES = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path"}


def pages() -> dict[str, str]:
    """Text of each page by file name."""
    return {
        "metrics.md": _page(_metrics()),
        "configuration.md": _page(_configuration()),
        "topics.md": _page(_topics()),
    }


def declared_metrics() -> dict[str, MetricWrapperBase]:
    """Every metric by the name of its object in :mod:`schemas.metrics`."""
    found = vars(metrics).items()
    return {name: item for name, item in found if isinstance(item, MetricWrapperBase)}


def _metrics() -> Iterator[str]:
    yield "# Metrics\n"
    yield (
        "Written by `python -m schemas.document` from `schemas/metrics.py`; edit there.\n\n"
        "The gateway and every stage serve Prometheus metrics at `/metrics` of their own port. "
        "Labels never hold content, ids or user names. A histogram has `_bucket`, `_sum` and "
        "`_count` behind its name. Beside these every process on Linux tells of itself what "
        "Prometheus clients do: `process_start_time_seconds`, `process_resident_memory_bytes`, "
        "`process_cpu_seconds_total`, `process_open_fds` and the like.\n"
    )
    yield from _table_head("metric", "type", "labels", "what")
    for metric in declared_metrics().values():
        (family,) = metric.describe()
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = metric._labelnames  # noqa: SLF001 - the client offers no public name for it
        yield _row(f"`{name}`", family.type, _codes(labels), family.documentation)


def _configuration() -> Iterator[str]:
    yield "# Configuration\n"
    yield (
        "Written by `python -m schemas.document` from `schemas/config.py`; edit there.\n\n"
        "The file is `streamgauge.yaml` in the working directory, or the path in "
        "`STREAMGAUGE_CONFIG`; the environment overrides it. An unknown key is an error that "
        "names it. Relative paths are taken from the working directory. `streamgauge config` "
        "prints what is in force, secrets hidden.\n"
    )
    plain = {n: f for n, f in Config.model_fields.items() if _section(f) is None}
    yield from _settings("", "STREAMGAUGE_", plain)
    for name, field in Config.model_fields.items():
        if section := _section(field):
            yield f"\n## {name}\n\n{_sentence(section)}\n"
            yield from _settings(f"{name}.", f"STREAMGAUGE_{name.upper()}__", section.model_fields)


def _settings(prefix: str, variable: str, fields: dict[str, FieldInfo]) -> Iterator[str]:
    """Rows of the fields, then those of the items of their lists."""
    head = "key", "environment variable", "type", "default", "what"
    yield from _table_head(*(item for item in head if variable or item != head[1]))
    for name, field in fields.items():
        known = [f"`{variable}{name.upper()}`"] if variable else []
        what = (field.description or "") + (" (JSON in the environment)" if _items(field) else "")
        yield _row(f"`{prefix}{name}`", *known, _type(field), _default(name, field), what.strip())
    for name, field in fields.items():
        for number, item in enumerate(_items(field)):
            each = "Or" if number else f"Each item of `{prefix}{name}`"
            yield f"\n{each}: {_sentence(item)}\n"
            yield from _settings("", "", item.model_fields)


def _topics() -> Iterator[str]:
    yield "# Topics and records\n"
    yield (
        "Written by `python -m schemas.document` from `schemas/topics.py` and "
        "`schemas/records.py`; edit there. JSON Schemas are in `schemas/generated/`, golden "
        "records and identities for other producers in `schemas/golden/`.\n"
    )
    yield from _table_head("topic", "record", "partition follows", "retention", "notes")
    for topic in TOPICS:
        record = f"[{topic.schema}](#{topic.schema})" if topic.schema else "–"
        retention = _duration(topic.retention_ms)
        yield _row(f"`{topic.name}`", record, topic.partition_key, retention, topic.notes)
    yield (
        f"\nHeaders: `{SCHEMA_HEADER}` names record and version, for example "
        f"`operation/{SCHEMA_VERSION}`; `{TENANT_HEADER}` is believed only on the gateway's own "
        f"topics; `{TIMESTAMP_HEADER}` keeps a raw message's first Kafka timestamp through a "
        f"replay, and `{ATTEMPTS_HEADER}` how often the message was tried before it."
    )
    shown: list[type[Record]] = []
    for name, record_type in RECORDS.items():
        yield from _record(name, record_type)
        for part in _parts(record_type):
            if part not in shown:
                shown.append(part)
    for part in shown:
        yield from _record(part.__name__, part)


def _record(title: str, record: type[Record]) -> Iterator[str]:
    yield f"\n## {title}\n\n{_flat(inspect.getdoc(record) or '')}\n"
    yield from _table_head("field", "type", "default", "what")
    for name, field in record.model_fields.items():
        yield _row(f"`{name}`", _type(field), _default(name, field), field.description or "")


def _parts(record: type[Record]) -> Iterator[type[Record]]:
    """Records within the record, outer before inner."""
    inner = [kind for field in record.model_fields.values() for kind in _models(field.annotation)]
    yield from inner
    for kind in inner:
        yield from _parts(kind)


def _models(annotation: object) -> Iterator[type[Record]]:
    if isinstance(annotation, type) and issubclass(annotation, Record):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _section(field: FieldInfo) -> type[Section] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _items(field: FieldInfo) -> list[type[Section]]:
    """The sections that the field's items can be, if it is a list or map of such."""
    return list(_sections(get_args(field.annotation)))


def _sections(annotations: tuple[object, ...]) -> Iterator[type[Section]]:
    for kind in annotations:
        if isinstance(kind, type) and issubclass(kind, Section):
            yield kind
        yield from _sections(get_args(kind))


def _type(field: FieldInfo) -> str:
    if any(isinstance(item, PlainSerializer) for item in field.metadata):
        return "64-bit integer as a string"
    return _type_name(field.annotation)


def _type_name(annotation: object) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated(arguments)
    if origin is Literal:
        return _choice([str(value) for value in arguments])
    if origin in (Union, UnionType):
        names = [_type_name(item) for item in arguments if item is not NoneType]
        return " or ".join([*names, "null"])
    if origin in (list, tuple):
        return f"list of {_type_name(arguments[0])}"
    if origin is dict:
        return f"map of {_type_name(arguments[0])} to {_type_name(arguments[1])}"
    return _class_name(annotation)


def _annotated(arguments: tuple[object, ...]) -> str:
    if any(isinstance(item, PlainSerializer) for item in arguments[1:]):
        return "64-bit integer as a string"
    return "map" if list(_sections(arguments[:1])) else _type_name(arguments[0])


def _class_name(kind: object) -> str:
    if not isinstance(kind, type):
        raise TypeError(f"no name for the type {kind}")
    if issubclass(kind, Enum):
        return _choice([member.value for member in kind])
    if issubclass(kind, SecretStr):
        return "secret"
    if issubclass(kind, Record):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    if issubclass(kind, BaseModel):
        return "map"
    return _NAMES.get(kind, "decimal as a string")


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.annotation is SecretStr:
        return "hidden"
    return _value(name, field.get_default(call_default_factory=True, validated_data={}))


def _value(name: str, value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, BaseModel) or value in ("", (), [], {}):
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and name.endswith("_bytes"):
        size = f"{value // MIB} MiB" if value % MIB == 0 else f"{value // KIB} KiB"
        return f"`{value}` ({size})"
    if isinstance(value, Path) and value.is_relative_to(PACKAGE_ROOT):
        return f"`{value.relative_to(PACKAGE_ROOT)}` of the installation"
    return f"`{value}`"


def _duration(ms: int) -> str:
    return f"{ms // DAY_MS} d" if ms % DAY_MS == 0 else f"{ms // HOUR_MS} h"


def _choice(values: list[str]) -> str:
    return ", ".join(f"`{value}`" if value else "empty" for value in values)


def _codes(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _sentence(kind: type[object]) -> str:
    return _flat(inspect.getdoc(kind) or "")


def _flat(text: str) -> str:
    """Prose of a docstring: paragraphs on one line each, code in single back quotes."""
    paragraphs = text.replace("``", "`").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _table_head(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield _row(*("---" for _ in names))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _page(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write every page."""
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
