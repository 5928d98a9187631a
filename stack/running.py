"""The embedded stack that runs on a data folder, for commands that people give beside it.

While it runs it holds a lock on a file there, and its configuration and secrets lie beside: a
command without settings of its own finds the stack by them. The lock ends with the process,
however that ended, so that what lies there is never taken for a running stack's.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from schemas.config import Config
from schemas.section import Section
from stack.embedded import SETTINGS_FILE, TOKEN_FILE
from stack.errors import StackError

_LOCK_FILE = "running.lock"
_DEMO = "demo"
_ITS_OWN = ("kafka", "runtime")
"""Sections of which nothing may differ from the stack's: partitions, incarnation, ports."""


@contextmanager
def marked_running(data_dir: Path) -> Iterator[None]:
    """Hold the lock. Raises :class:`StackError` if another stack runs on the folder."""
    data_dir.mkdir(parents=True, exist_ok=True)
    handle = os.open(data_dir / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(f"another embedded stack runs on {data_dir}") from None
        yield
    finally:
        os.close(handle)


def demo_folder(data_dir: Path) -> Path:
    """Where a demo runs: in a folder of its own, which it empties when it starts."""
    return data_dir / _DEMO


def running_config(config: Config) -> Config:
    """The configuration of the stack that runs on ``runtime.data_dir``, with what the user set.

    ``up`` before a demo, if both run. The given configuration if none does, or if the user's Kafka
    or ClickHouse is another. Raises ``ValidationError`` for settings of another release,
    ``OSError`` for unreadable files.
    """
    folder = config.runtime.data_dir.absolute()
    for data_dir in (folder, demo_folder(folder)):
        if stack_runs(data_dir):
            return _merged(config, data_dir)
    return config


def _merged(config: Config, data_dir: Path) -> Config:
    """The stack's configuration on that folder, with what the user set."""
    told: dict[str, Any] = yaml.safe_load((data_dir / SETTINGS_FILE).read_text())
    for section, name in (("kafka", "bootstrap_servers"), ("clickhouse", "url")):
        mine = getattr(config, section)
        if name in mine.model_fields_set and getattr(mine, name) != told[section][name]:
            return config
    changes: dict[str, Any] = {}
    for name, value in told.items():
        kind = Config.model_fields[name].annotation
        mine = getattr(config, name)
        if isinstance(kind, type) and issubclass(kind, Section):
            set_by_user = {} if name in _ITS_OWN else mine.model_dump(exclude_unset=True)
            changes[name] = kind.model_validate({**value, **set_by_user})
        elif name not in config.model_fields_set:
            changes[name] = value
    clickhouse = changes["clickhouse"]
    if not clickhouse.token.get_secret_value():
        clickhouse.token = SecretStr((data_dir / TOKEN_FILE).read_text().strip())
    return config.model_copy(update=changes)


def stack_runs(data_dir: Path) -> bool:
    """Whether a stack holds the folder's lock now."""
    try:
        handle = os.open(data_dir / _LOCK_FILE, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
