"""Commands that look at telemetry before it is in the line."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from stack.commands.common import app, errors, one_line_errors, people_config

STDIN = Path("-")


@app.command()
def decode(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="OTLP exports, JSON or protobuf, also gzip; spans and logs together; - for stdin",
            show_default=False,
        ),
    ],
) -> None:
    """Print the operation records that the line would make of these files, one JSON line each.

    Content in log records is joined to its spans, several spans of one call are collapsed
    (duplicate_of), personal data and secrets are masked. What is left out is said on stderr; exit
    status 1 if a file could not be read.
    """
    from processors.operations.redact import RedactionKeyError, Redactor
    from processors.prices.table import PriceTable
    from stack.decode import DecodeError, assemble, read_bytes, read_file

    config = people_config()
    with one_line_errors("decode", status=2):
        prices = PriceTable.of(config)
    try:
        redactor = Redactor.of(config)
    except RedactionKeyError:
        # Only for the eyes of whoever runs this: placeholders need not match those of a stack.
        redactor = Redactor(b"streamgauge decode, not a secret", config.privacy)
    requests = []
    failed = False
    for path in files:
        try:
            if path == STDIN:
                found = read_bytes(sys.stdin.buffer.read(), "stdin")
            else:
                found = read_file(path)
            for request in found:  # those before what cannot be read are shown
                requests.append(request)
        except (DecodeError, OSError) as error:
            failed = True
            errors.print(f"decode: {error}", style="red", markup=False, highlight=False)
    decoding = assemble(requests, redactor, config.tenant, prices)
    for operation in decoding.operations:
        sys.stdout.write(operation.model_dump_json() + "\n")
    for problem in decoding.problems:
        errors.print(f"decode: {problem}", markup=False, highlight=False)
    raise typer.Exit(1 if failed else 0)
