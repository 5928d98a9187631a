"""Isolation of the notify tests."""

import pytest

from processors.runtime import backoff


@pytest.fixture(autouse=True)
def _own_retry_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests wait on clocks of their own; the process's last retry is left as it was."""
    monkeypatch.setattr(backoff, "_last_retry_monotonic_s", float("-inf"))
