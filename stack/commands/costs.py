"""Commands about money."""

from datetime import UTC, date, datetime
from typing import Annotated

import typer

from stack.commands.common import app, console, errors, load_config, one_line_errors


@app.command()
def reprice(
    from_: Annotated[
        str, typer.Option("--from", help="first call's start: a day or a time, UTC unless it says")
    ],
    to: Annotated[str, typer.Option("--to", help="calls before this; the day itself is left out")],
    tenant: Annotated[str, typer.Option(help="of this tenant alone")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would change")] = False,
) -> None:
    """Price stored calls again with the prices as they are now known, each as of its own time.

    Writes genai_costs; v_cost, v_calls and v_call_costs show it at once. May be repeated.
    """
    from processors.prices.table import PriceTable
    from sql.client import connect
    from stack.reprice import Outcome, Range, reprice

    config = load_config()

    def told(day: date, outcome: Outcome) -> None:
        errors.print(f"{day}: {outcome.calls:,} calls so far", highlight=False)

    with one_line_errors("reprice"):
        wanted = Range(_moment(from_, "--from"), _moment(to, "--to"), tenant)
        if wanted.end <= wanted.begin:
            raise ValueError("--to must be later than --from")
        prices = PriceTable.of(config)
        reader, writer = connect(config.clickhouse), connect(config.clickhouse)
        done = reprice(reader, writer, prices, wanted, dry_run=dry_run, progress=told)
    console.print(
        f"{'would be ' if dry_run else ''}priced with {prices.version}: {done.calls:,} calls, "
        f"{done.changed:,} changed, {done.now_known:,} newly known, {done.now_unknown:,} now "
        f"unknown, {done.same:,} the same; {done.before_usd:.6f} -> {done.after_usd:.6f} USD",
        highlight=False,
        soft_wrap=True,
    )


def _moment(text: str, option: str) -> datetime:
    """A day or a time. Raises ``ValueError`` naming the option."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{option} {text}: a day (2026-11-01) or a time is needed") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
