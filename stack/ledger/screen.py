"""The ledger for people."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stack.ledger.books import Account, Ledger
from stack.printable import counted, printable


def show(ledger: Ledger, screen: Console) -> None:
    """Books by tenant and topic, letters by reason, accounts by stage, then if they balance."""
    if ledger.books:
        screen.print(_books(ledger))
    if ledger.dead:
        screen.print(_letters(ledger))
    for account in ledger.accounts:
        screen.print(_account(account), highlight=False, markup=False, soft_wrap=True)
    for item in ledger.gateway:
        screen.print(
            f"gateway: {item.accepted:,} accepted and {item.rejected:,} rejected for {item.topic} "
            f"of {printable(item.tenant)} since it started",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
    for line in verdict(ledger):
        screen.print(line, soft_wrap=True)


def verdict(ledger: Ledger) -> Iterator[Text]:
    """Whether it balances, and what does not."""
    if not ledger.balanced:
        yield Text("NOT BALANCED", style="bold red")
        for problem in ledger.problems:
            yield Text(f"  {problem}", style="red")
    elif ledger.open_because:
        yield Text(f"open: {ledger.open_because}; what is stored balances", style="yellow")
    elif not ledger.accounts:
        yield Text("balanced: no raw messages in this time")
    else:
        flying = sum(account.on_the_way + account.waiting for account in ledger.accounts)
        yield Text(
            "balanced: every acknowledged message is in the books, every dead item has a letter; "
            f"{flying:,} in flight",
            style="green",
        )


def _books(ledger: Ledger) -> Table:
    table = Table()
    for name in ("tenant", "topic", "stage"):
        table.add_column(name)
    names = ("messages", "items in", "out", "filtered", "dead", "in letters")
    for name in names:
        table.add_column(name, justify="right")
    for books in sorted(ledger.books, key=lambda one: (one.tenant, one.topic, one.stage)):
        numbers = (
            books.messages, books.items_in, books.items_out, books.filtered, books.dead,
            books.letters,
        )  # fmt: skip
        table.add_row(
            Text(printable(books.tenant)), books.topic, books.stage, *(f"{n:,}" for n in numbers)
        )
    return table


def _letters(ledger: Ledger) -> Table:
    table = Table()
    for name in ("tenant", "topic", "given up by", "reason"):
        table.add_column(name)
    for name in ("letters", "items"):
        table.add_column(name, justify="right")
    for one in ledger.dead:
        table.add_row(
            Text(printable(one.tenant)), one.topic, one.stage, Text(printable(one.reason)),
            f"{one.letters:,}", f"{one.items:,}",
        )  # fmt: skip
    return table


def _account(account: Account) -> str:
    acknowledged = counted(account.acknowledged, "message")
    flying = f"{account.waiting:,} waiting, {account.on_the_way:,} acknowledged and not stored yet"
    return (
        f"{account.stage} of {account.topic}: {acknowledged} acknowledged, {account.booked:,} in "
        f"the books; {flying}"
    )
