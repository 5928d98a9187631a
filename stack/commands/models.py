"""Commands about classifier models."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from stack.commands.common import app, console, errors, one_line_errors, people_config, print_whole

models_app = typer.Typer(help="Classifier models.", no_args_is_help=True)
app.add_typer(models_app, name="models")


@models_app.command("check")
def models_check() -> None:
    """Verify the model folders' hashes, run every task once, print their speed."""
    from processors.evaluate.models import check_models

    with one_line_errors("models"):
        rows = check_models(people_config())
    table = Table("folder", "name", "version", "tasks", "device", "load ms", "tokens/s")
    for row in rows:
        table.add_row(
            Text(row.folder),
            Text(row.name),
            Text(row.version),
            ", ".join(row.tasks),
            row.device,
            f"{row.load_ms:,.0f}",
            f"{row.tokens_per_second:,}",
        )
    print_whole(table)


@models_app.command("list")
def models_list() -> None:
    """Show the model folders there are, with their tasks, versions and thresholds."""
    from schemas.manifest import load_manifest, model_folder

    settings = people_config().evaluate
    table = Table("folder", "task", "model_version", "warn", "page", "licence")
    with one_line_errors("models"):
        folders = {path.parent for path in settings.models_dir.glob("*/manifest.yaml")}
        for folder in sorted({*folders, model_folder(settings.models_dir, settings.model)}):
            manifest = load_manifest(folder)
            used = " (in use)" if folder.name == settings.model else ""
            for name, task in manifest.tasks.items():
                limits = task.thresholds
                table.add_row(
                    Text(folder.name + used),
                    name,
                    Text(manifest.model_version(name)),
                    f"{limits.warn:g}",
                    f"{limits.page:g}",
                    Text(manifest.licence),
                )
    print_whole(table)


@models_app.command("eval")
def models_eval(
    name: Annotated[
        str,
        typer.Argument(help="task of the configured model, or FOLDER/TASK", show_default=False),
    ],
    data: Annotated[
        Path,
        typer.Option(
            help="JSON Lines, also gzip: text, or context, response and perhaps question; label 0/1"
        ),
    ],
) -> None:
    """Measure a task of a model on labelled rows and print one JSON object.

    Rows are judged as the line judges traffic: redacted, cut, scored. f1, precision, recall and
    false_positive_rate are at the manifest's warn threshold; null is what the rows do not define.
    """
    import orjson

    from processors.evaluate.assess import Assessor, evaluator_of, read_rows
    from processors.evaluate.models import load_model

    settings = people_config().evaluate
    folder, _, task = name.rpartition("/")
    if folder:
        settings = settings.model_copy(update={"model": folder})
    with one_line_errors("models eval"):
        model = load_model(settings)
        evaluator = evaluator_of(model, task)
        rows = read_rows(data, evaluator)

        async def run() -> bytes:
            with Progress(console=errors, transient=True) as bar:
                line = bar.add_task(f"{data.name}", total=len(rows))
                async with Assessor(model, settings) as assessor:
                    found = await assessor.assess(
                        rows, evaluator, lambda done, _: bar.update(line, completed=done)
                    )
            return orjson.dumps(found.as_json(), option=orjson.OPT_INDENT_2)

        printed = asyncio.run(run())
    sys.stdout.write(printed.decode() + "\n")


@models_app.command("compare")
def models_compare(
    a: Annotated[str, typer.Argument(help="FOLDER/TASK", show_default=False)],
    b: Annotated[str, typer.Argument(help="FOLDER/TASK", show_default=False)],
    data: Annotated[Path, typer.Option(help="labelled rows, as for eval")],
    seed: Annotated[int, typer.Option(help="seed of the bootstrap")] = 7,
) -> None:
    """Compare two models on the same rows: each figure, and b - a with a paired 95% interval."""
    import orjson

    from processors.evaluate.assess import Assessor, Row, compare, evaluator_of, read_rows
    from processors.evaluate.models import load_model
    from schemas.evaluators import Evaluator

    config = people_config().evaluate

    async def scores(name: str) -> tuple[list[float], list[Row], float]:
        folder, _, task = name.rpartition("/")
        settings = config.model_copy(update={"model": folder} if folder else {})
        model = load_model(settings)
        evaluator: Evaluator = evaluator_of(model, task)
        rows = read_rows(data, evaluator)
        async with Assessor(model, settings) as assessor:
            found = await assessor.scores(rows, evaluator)
        return found, rows, model.manifest.tasks[task].thresholds.warn

    with one_line_errors("models compare"):
        first, rows, first_warn = asyncio.run(scores(a))
        second, _, second_warn = asyncio.run(scores(b))
        labels = [row.label for row in rows]
        found = compare((first, first_warn), (second, second_warn), labels, seed)
    sys.stdout.write(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n")


@models_app.command("add")
def models_add(
    folder: Annotated[
        Path,
        typer.Argument(help="folder with manifest.yaml, ONNX graphs and tokenizer"),
    ],
    name: Annotated[str, typer.Option(help="name of the folder; default: the given one's")] = "",
) -> None:
    """Verify a model folder, run it once and copy it to the models folder.

    A Hugging Face export without a manifest gets a draft beside it to be completed.
    """
    from stack.models import add_model

    with one_line_errors("models add"):
        added = add_model(people_config().evaluate, folder, name)
    console.print(f"{added.folder}: {', '.join(added.tasks)} on {added.device}", highlight=False)
    name = added.folder.name
    console.print(
        f"use it: streamgauge models deploy {name}/{added.tasks[0]}, or for all of its tasks"
        f" STREAMGAUGE_EVALUATE__MODEL={name}",
        highlight=False,
        soft_wrap=True,
    )


@models_app.command("deploy")
def models_deploy(
    name: Annotated[str, typer.Argument(help="FOLDER/TASK", show_default=False)],
    mode: Annotated[str, typer.Option(help="active, shadow or off")] = "shadow",
    sample: Annotated[float, typer.Option(help="share of calls that a shadow judges")] = 1.0,
) -> None:
    """Give a model a role for a task; workers that read the same file take it up within seconds.

    The active model's verdicts show and alert. A shadow's are stored beside them and compared
    (v_evaluator_agreement, v_compare). off ends the role; without any active model the configured
    one judges.
    """
    from schemas.evaluators import Evaluator
    from stack.models import deploy_model

    config = people_config()
    with one_line_errors("models deploy"):
        folder, _, task = name.rpartition("/")
        if mode not in ("active", "shadow", "off"):
            raise ValueError("--mode: active, shadow or off")
        if not folder or task not in list(Evaluator):
            raise ValueError(f"{name}: FOLDER/TASK is needed, for example starter/injection")
        file = config.evaluate.deployments_file
        # The default file is where `streamgauge up` was started; elsewhere no worker reads it.
        astray = not file.is_absolute() and not file.parent.is_dir()
        version = deploy_model(config, folder, Evaluator(task), mode, sample)
    console.print(f"{version}: {mode}", highlight=False)
    console.print(
        f"written to {file.absolute()}: workers with another evaluate.deployments_file do not see"
        " it",
        highlight=False,
        soft_wrap=True,
    )
    if astray:
        errors.print(
            f"there was no {file.parent.absolute()} here: does any worker run in this folder?"
            " If not, set evaluate.deployments_file to theirs and deploy again",
            style="yellow",
            highlight=False,
        )
