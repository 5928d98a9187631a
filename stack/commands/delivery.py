"""Commands about delivery: is anything lost, doubled, dead?"""

from pathlib import Path
from typing import Annotated

import typer

from stack.commands.common import app, console, load_config, one_line_errors


@app.command()
def verify(
    endpoint: Annotated[str, typer.Option(help="gateway's base URL")] = "http://127.0.0.1:4318",
    traces: Annotated[int, typer.Option(help="traces to send; 0 checks the journal only")] = 500,
    rate: Annotated[float, typer.Option(help="traces a second")] = 25.0,
    seed: Annotated[int, typer.Option(help="seed of the traffic")] = 1,
    journal: Annotated[Path, typer.Option(help="what was sent and what got success")] = Path(
        ".streamgauge/verify.jsonl"
    ),
    service: Annotated[str, typer.Option(help="service.name of the traffic")] = "",
    wait: Annotated[float, typer.Option(help="seconds to let stages catch up")] = 60.0,
) -> None:
    """Prove delivery: send traffic, then count what is lost, doubled or invented."""
    from stack.verify.command import VerifyRun, run_verify

    run = VerifyRun(endpoint, traces, rate, seed, service or f"verify-{seed}", journal, wait)
    with one_line_errors("verify"):
        report = run_verify(load_config(), run, console)
    for name, items in (
        ("lost", report.lost),
        ("duplicate", report.duplicates),
        ("phantom", report.phantoms),
    ):
        for item in items[:20]:
            console.print(f"  {name}: {item}", highlight=False, markup=False)
    console.print(report.summary(), highlight=False)
    raise typer.Exit(0 if report.clean else 1)
