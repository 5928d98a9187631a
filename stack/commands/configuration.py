"""The configuration in force."""

from stack.commands.common import app, console, load_config


@app.command(name="config")
def show_config() -> None:
    """Print the configuration in force, secrets hidden."""
    console.print_json(load_config().model_dump_json())
