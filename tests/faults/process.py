"""``python -m tests.faults.process ...``: the product's command line with faults that can be
switched on while it runs.

The file named by ``FAULTS_FILE`` says which, as JSON: ``clock_s`` (how far the process's clock is
off), ``model`` (``throws``, ``nan`` or ``memory``) and ``redactor`` (it throws). What fails is the
real part at its real place; the product's code knows nothing of it.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

FILE_VARIABLE = "FAULTS_FILE"
_LOOK_EVERY_S = 0.05
_MODEL_FAULTS = ("throws", "nan", "memory")


class Switches:
    """What is switched on, as the file said at most a moment ago."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked_s = 0.0
        self._now: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        """The value of a switch; None if it is off."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= _LOOK_EVERY_S:
            self._looked_s = now_s
            try:
                self._now = orjson.loads(self._path.read_bytes())
            except (OSError, orjson.JSONDecodeError):
                self._now = {}
        return self._now.get(name)


def skew_clock(switches: Switches) -> None:
    """``time.time`` and ``time.time_ns`` as a wrong clock gives them; monotonic time is right."""
    seconds, nanoseconds = time.time, time.time_ns
    time.time = lambda: seconds() + (switches.get("clock_s") or 0)
    time.time_ns = lambda: nanoseconds() + round((switches.get("clock_s") or 0) * 1e9)


def break_model(switches: Switches) -> None:
    """The ONNX session of any graph throws, answers NaN, or finds no memory."""
    import numpy as np  # noqa: PLC0415 - each process loads what its stage needs
    import onnxruntime  # noqa: PLC0415

    from processors.evaluate.graphs import Graph  # noqa: PLC0415

    run: Callable[..., Any] = Graph.run

    def faulty(graph: Any, outputs: Any, feeds: Any) -> Any:
        fault = switches.get("model")
        if fault == "throws":
            raise onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException("a fault test")
        if fault == "memory":
            raise MemoryError("a fault test")
        found = run(graph, outputs, feeds)
        return [np.full_like(one, np.nan) for one in found] if fault == "nan" else found

    Graph.run = faulty  # type: ignore[method-assign]


def break_redactor(switches: Switches) -> None:
    """The redactor throws before it has replaced anything."""
    from processors.operations.redact import Redactor  # noqa: PLC0415

    replaced: Callable[..., Any] = Redactor._replaced

    def faulty(redactor: Any, *arguments: Any, **named: Any) -> Any:
        if switches.get("redactor"):
            raise RuntimeError("a fault test")
        return replaced(redactor, *arguments, **named)

    Redactor._replaced = faulty  # type: ignore[method-assign]


def main() -> None:
    """The command line, with the switches in place."""
    switches = Switches(Path(os.environ[FILE_VARIABLE]))
    skew_clock(switches)
    stage = os.environ.get("FAULTS_STAGE", "")
    if stage == "evaluate":
        break_model(switches)
    if stage in ("operations", "traces"):
        break_redactor(switches)
    from stack.cli import app  # noqa: PLC0415 - after the clock

    app()


if __name__ == "__main__":
    main()
