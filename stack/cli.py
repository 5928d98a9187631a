"""The ``streamgauge`` command.

Every command reads the one configuration (``streamgauge.yaml`` and ``STREAMGAUGE_*``); heavy
imports happen inside commands so that ``--help`` is quick and a worker loads only its stage.
"""

from stack.commands import (
    alerts,
    configuration,
    costs,
    delivery,
    drift,
    drift_backtest,
    feedback,
    inspect,
    models,
    operators,
    query,
    rescore,
    rules,
    run,
)
from stack.commands.common import app

__all__ = [
    "alerts",
    "app",
    "configuration",
    "costs",
    "delivery",
    "drift",
    "drift_backtest",
    "feedback",
    "inspect",
    "models",
    "operators",
    "query",
    "rescore",
    "rules",
    "run",
]

if __name__ == "__main__":
    app()
