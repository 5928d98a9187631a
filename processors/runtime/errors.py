"""Why a worker stops for good."""


class SkippedMessageError(Exception):
    """The client library stepped over a message that exists."""


class FatalStageError(Exception):
    """The stage stopped for good; the worker must exit without acknowledging anything more."""
