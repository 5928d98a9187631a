"""Configurations of the session's broker."""

from pathlib import Path
from typing import Any

import pytest

from schemas.config import Config
from stack.broker import Broker
from tests.runtime.harness import make_config


@pytest.fixture(params=["faust", "aiokafka"])
def config(request: Any, broker: Broker, tmp_path: Path) -> Config:
    """Of each runner."""
    return make_config(broker.bootstrap, tmp_path, request.param)


@pytest.fixture
def plain(broker: Broker, tmp_path: Path) -> Config:
    """Where it does not matter which runner."""
    return make_config(broker.bootstrap, tmp_path, "aiokafka")
