"""Commands about classifier models."""

import typer

from stack.commands.common import app, console, load_config, one_line_errors

models_app = typer.Typer(help="Classifier models.", no_args_is_help=True)
app.add_typer(models_app, name="models")


@models_app.command("check")
def models_check() -> None:
    """Verify the model folder's hashes, run every task once, print its speed."""
    from processors.evaluate.models import check_models

    with one_line_errors("models"):
        rows = check_models(load_config())
    for row in rows:
        console.print(row, highlight=False)
