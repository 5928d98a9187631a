"""YAML files that people write, read strictly: every mistake is named by file, line and key.

An unknown key is an error, with the nearest known one as a suggestion: a misspelt key that is
quietly ignored becomes a wrong figure somewhere else.
"""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Tag, ValidationError

Place = tuple[str | int, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)


class StrictYamlError(ValueError):
    """A file cannot be used; the text names file, line and key."""


class Strict(BaseModel):
    """Base of what such a file holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def load_strict(path: Path, model: type[ModelT], setting: str) -> ModelT:
    """The file as ``model``. ``setting`` is the configuration key that named the file.

    Raises :class:`StrictYamlError` for the first mistake in the file's order; a key that is
    missing stands nowhere, and may be a misspelt one: it comes last.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8"
        raise StrictYamlError(f"{path}: {reason} ({setting})") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        raise StrictYamlError(f"{path}{place}: not YAML: {problem}") from None
    lines = dict(_lines(node, ())) if node is not None else {}
    if repeated := next(_repeated(node, ()), None):
        raise StrictYamlError(f"{path}:{repeated[1]}: {_dotted(repeated[0])}: stands twice")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = [_mistake(item, lines, model) for item in error.errors(include_url=False)]
    _, line, said = min(found)
    raise StrictYamlError(f"{path}:{line}: {said}")


def _mistake(item: Any, lines: dict[Place, int], model: type[BaseModel]) -> tuple[bool, int, str]:
    """Whether it is a missing key, line and text of one error of pydantic's."""
    place: Place = ()
    for step in item["loc"]:
        # Steps that are not in the file name members of a union.
        if (*place, step) in lines or (item["type"] == "missing" and step == item["loc"][-1]):
            place = (*place, step)
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "missing":
        message = "is missing"
    elif item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(place[-1]), _known(model, item["loc"][:-1]), n=1)
        message = "unknown key" + (f"; did you mean {near[0]}?" if near else "")
    inside = place
    while inside and inside not in lines:
        inside = inside[:-1]
    said = f"{_dotted(place) or 'file'}: {message}"
    return item["type"] == "missing", lines.get(inside, 1), said


def _known(model: type[BaseModel], place: Place) -> list[str]:
    """Keys that the model at a place, as pydantic names it, has."""
    kinds: dict[str, type[BaseModel]] = {"": model}
    for step in place:
        if step in kinds and step:
            kinds = {"": kinds[str(step)]}
            continue
        for kind in kinds.values():
            fields = {field.alias or name: field for name, field in kind.model_fields.items()}
            if isinstance(step, str) and step in fields:
                kinds = _inner(fields[step].annotation)
                break
    return [
        field.alias or name for kind in kinds.values() for name, field in kind.model_fields.items()
    ]


def _inner(kind: Any, tag: str = "") -> dict[str, type[BaseModel]]:
    """The models that a container, an optional type or a union holds, by tag."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {tag: kind}
    tags = [said.tag for said in getattr(kind, "__metadata__", ()) if isinstance(said, Tag)]
    found: dict[str, type[BaseModel]] = {}
    for argument in getattr(kind, "__args__", ()):
        for name, one in _inner(argument, *tags).items():
            found.setdefault(name, one)
    return found


def _lines(node: yaml.Node, place: Place) -> Iterator[tuple[Place, int]]:
    """The line of every place: of a key where it stands, of an item where it begins."""
    yield place, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, key.value)
            yield from _lines(value, inner)
            yield inner, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _lines(item, (*place, index))


def _repeated(node: yaml.Node | None, place: Place) -> Iterator[tuple[Place, int]]:
    """Keys that a mapping has twice: YAML would keep the last and say nothing."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield (*place, key.value), key.start_mark.line + 1
            seen.add(key.value)
            yield from _repeated(value, (*place, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _repeated(item, (*place, index))


def _dotted(place: Place) -> str:
    return ".".join(str(step) for step in place)
