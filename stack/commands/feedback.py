"""Commands by which people label what they see."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from stack.commands.common import app, console, errors, one_line_errors, people_config

if TYPE_CHECKING:
    from schemas.feedback import Feedback
    from stack.feedback import FeedbackStore


@app.command()
def label(  # noqa: PLR0917 - a command's options
    label: Annotated[
        str,
        typer.Argument(
            help="correct or incorrect (a verdict, an alert), good or bad (an answer), or your own",
            show_default=False,
        ),
    ],
    trace: Annotated[str, typer.Option(help="trace id of the call")] = "",
    span: Annotated[str, typer.Option(help="span id of the call")] = "",
    response: Annotated[str, typer.Option(help="gen_ai.response.id instead of the ids")] = "",
    conversation: Annotated[str, typer.Option(help="conversation id")] = "",
    alert: Annotated[str, typer.Option(help="fingerprint of an alert")] = "",
    evaluator: Annotated[str, typer.Option(help="whose verdict is labelled")] = "",
    value: Annotated[float | None, typer.Option(help="a rating on your own scale")] = None,
    comment: Annotated[str, typer.Option(help="why; stored redacted")] = "",
    author: Annotated[str, typer.Option(help="who says so", envvar="USER")] = "",
    tenant: Annotated[str, typer.Option(help="default: the configured one")] = "",
) -> None:
    """Say whether a verdict, an answer or an alert was right; said again, it replaces."""
    from schemas.evaluators import Evaluator
    from schemas.feedback import Feedback
    from stack.feedback import FeedbackStore

    config = people_config()
    with one_line_errors("label"):
        if evaluator and evaluator not in list(Evaluator):
            raise ValueError(f"--evaluator {evaluator}: one of {', '.join(Evaluator)}")
        said = Feedback(
            label=label,
            trace_id=trace.lower(),
            span_id=span.lower(),
            response_id=response,
            conversation_id=conversation,
            alert_fingerprint=alert,
            evaluator=evaluator,
            value=value,
            comment=comment,
            author=author,
        )
        owner = tenant or config.tenant
        unknown = asyncio.run(_stored(FeedbackStore(config, "cli"), owner, said))
    console.print(f"{said.target} labelled {said.label} ({said.identity(owner)})", highlight=False)
    if unknown:
        thing = "call" if said.target in ("operation", "evaluation") else said.target
        missing = f"label: no such {thing} of tenant {owner} is stored (yet); the label is kept and"
        errors.print(f"{missing} counts once it is", markup=False, highlight=False)


async def _stored(store: "FeedbackStore", owner: str, said: "Feedback") -> bool:
    """Store a label; whether what it is about is not stored (yet)."""
    from schemas.protocols import RetryableError

    try:
        await store.take(owner, [said])
    except RetryableError as error:
        raise OSError(f"not stored, ClickHouse does not answer: {error}") from None
    return await store.unknown(owner, said)
