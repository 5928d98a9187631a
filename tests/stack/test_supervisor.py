"""Children are restarted, stopped in order, and never outlive us."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from stack.children import child_environment
from stack.supervisor import ChildError, ChildSpec, Supervisor

SLEEPER = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"  # noqa: E501
PARENT = f"""
import asyncio, sys
from pathlib import Path
from stack.supervisor import ChildSpec, Supervisor
async def main():
    supervisor = Supervisor(Path(sys.argv[1]), lambda *a: None)
    child = await supervisor.start(ChildSpec("sleeper", (sys.executable, "-c", {SLEEPER!r})))
    print(child.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


async def eventually(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_killed_child_comes_back(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []
    restored = asyncio.Event()

    async def after_restart() -> None:
        restored.set()

    supervisor = Supervisor(tmp_path, lambda name, status, detail: seen.append((name, status)))
    child = await supervisor.start(
        ChildSpec("sleeper", python(SLEEPER), after_restart=after_restart)
    )
    await child.wait_ready(5.0)
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await asyncio.wait_for(restored.wait(), 10.0)
    second = child.pid
    assert second is not None
    assert second != first
    assert child.restarts == 1
    assert supervisor.pss_bytes() > 1 << 20
    await supervisor.stop()
    assert not psutil.pid_exists(second)
    assert [status for _, status in seen] == ["starting", "ready", "restarting", "stopped"]


async def test_a_refusal_is_not_retried_and_is_told(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, lambda *_: None)
    child = await supervisor.start(
        ChildSpec("picky", python("import sys; print('no model.onnx'); sys.exit(2)"))
    )
    await eventually(lambda: child.exit_status == 2)
    with pytest.raises(ChildError, match=r"picky refuses to start: no model\.onnx"):
        await child.wait_ready(5.0)
    assert child.restarts == 0
    await supervisor.stop()


async def test_a_child_that_is_never_ready_is_named(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    supervisor = Supervisor(tmp_path, lambda *_: None)
    child = await supervisor.start(ChildSpec("slow", python(SLEEPER), ready=never))
    with pytest.raises(ChildError, match=r"slow is not ready .*slow\.log"):
        await child.wait_ready(0.3)
    await supervisor.stop()


async def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, lambda *_: None)
    child = await supervisor.start(ChildSpec("stubborn", python(STUBBORN), grace_s=0.3))
    await eventually(lambda: "up" in child.log_path.read_text())
    pid = child.pid
    assert pid is not None
    before = time.monotonic()
    await supervisor.stop()
    assert time.monotonic() - before < 3.0
    assert not psutil.pid_exists(pid)


async def test_stopping_during_a_backoff_leaves_nothing(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, lambda *_: None)
    child = await supervisor.start(ChildSpec("crashing", python("raise SystemExit(1)")))
    await eventually(lambda: child.exit_status == 1)
    await asyncio.wait_for(supervisor.stop(), 5.0)
    await asyncio.sleep(0.7)
    assert child.pid is None


async def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(  # noqa: ASYNC220 (returns at once)
        [sys.executable, "-c", PARENT, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
    assert parent.stdout is not None
    pid = int(await asyncio.to_thread(parent.stdout.readline))
    assert psutil.pid_exists(pid)
    parent.kill()
    parent.wait()

    def gone() -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    await eventually(gone)
    parent.stdout.close()
