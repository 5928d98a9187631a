"""Every span of every trace, redacted and without content, into ``otel_traces``."""

from processors.traces.stage import TracesStage

__all__ = ["TracesStage"]
