"""Fixtures that modules of this folder share."""

from tests.stack.line import line_config, own_broker

__all__ = ["line_config", "own_broker"]
