"""Commands by which people label what they see."""

import asyncio
from typing import Annotated

import typer

from stack.commands.common import app, console, one_line_errors, people_config


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
    from pydantic import ValidationError

    from schemas.feedback import Feedback
    from schemas.protocols import RetryableError
    from stack.feedback import FeedbackStore

    config = people_config()
    with one_line_errors("label"):
        try:
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
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
        owner = tenant or config.tenant
        try:
            asyncio.run(FeedbackStore(config, "cli").take(owner, [said]))
        except RetryableError as error:
            raise OSError(f"not stored, ClickHouse does not answer: {error}") from None
    console.print(f"{said.target} labelled {said.label} ({said.identity(owner)})", highlight=False)
