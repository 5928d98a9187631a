"""Writes ``docs/commands.md`` from the commands themselves: ``python -m stack.document``.

A test compares the committed page, so that it cannot say something else than ``--help``.
"""

from collections.abc import Iterator

import typer.main
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from schemas.config import PACKAGE_ROOT
from stack.cli import app

PAGE = PACKAGE_ROOT / "docs" / "commands.md"

_INTRO = """# Commands

Written by `python -m stack.document` from `stack/commands/`; edit there.

Every command reads the one [configuration](configuration.md). Beside a running embedded stack
(`streamgauge up`, `streamgauge demo`) a command needs none: where `kafka.bootstrap_servers` and
`clickhouse.url` are not set to something else, it takes the settings and secrets of the stack that
runs on `runtime.data_dir` (`.streamgauge` of the working directory), or else of the demo that runs
below it. Errors are a line on stderr;
exit statuses other than 0 and 1 are said where they mean something.
"""


def page() -> str:
    """The page's text."""
    group = typer.main.get_command(app)
    return "\n".join([_INTRO, *_commands(group, "streamgauge")]) + "\n"


def _commands(command: object, name: str) -> Iterator[str]:
    if isinstance(command, TyperGroup):
        for sub_name, sub in command.commands.items():
            yield from _commands(sub, f"{name} {sub_name}")
        return
    if not isinstance(command, TyperCommand):
        raise TypeError(f"{name} is no command")
    yield f"## {name}\n"
    yield _prose(command.help or "") + "\n"
    arguments = [p for p in command.params if isinstance(p, TyperArgument)]
    usage = [name, *(["[OPTIONS]"] if len(command.params) > len(arguments) else [])]
    usage += [_argument(one) for one in arguments]
    yield f"```\n{' '.join(usage)}\n```\n"
    options = [p for p in command.params if isinstance(p, TyperOption)]
    if command.params:
        yield "| option | default | what |"
        yield "| --- | --- | --- |"
        for argument in arguments:
            yield _row(f"`{_upper(argument)}`", argument)
        for option in options:
            names = ", ".join(f"`{one}`" for one in (*option.opts, *option.secondary_opts))
            yield _row(names, option)
        yield ""


def _argument(argument: TyperArgument) -> str:
    name = _upper(argument) + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _row(names: str, parameter: TyperArgument | TyperOption) -> str:
    cells = (names, _default(parameter), _prose(parameter.help or ""))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _upper(parameter: TyperArgument | TyperOption) -> str:
    return (parameter.name or "").upper()


def _default(parameter: TyperArgument | TyperOption) -> str:
    if parameter.required:
        return "required"
    if isinstance(parameter.envvar, str):
        return f"`${parameter.envvar}`"
    value = parameter.default
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value in (None, "") else f"`{value}`"


def _prose(text: str) -> str:
    """A help text: paragraphs on one line each, code in single back quotes."""
    paragraphs = text.replace("``", "`").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
