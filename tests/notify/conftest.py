"""Isolation of the notify tests."""

import pytest

from processors.runtime import life


@pytest.fixture(autouse=True)
def _own_retry_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests wait on clocks of their own; the process's last sign of life stays."""
    monkeypatch.setattr(life, "_last_monotonic_s", float("-inf"))
