"""The writer of windows: five minutes of every stream, computed in ClickHouse once complete.

Read in this order: ``watermark.py`` (until when rows are complete), ``admission.py`` (which streams
have a place), ``cycle.py`` (what one cycle computes and stores), ``detecting.py`` (detectors over
what was sealed), ``explaining.py`` (why), ``fitting.py`` (baselines), ``reporting.py`` (reports and
releases compared), ``task.py`` (who runs cycles).
"""

from processors.watch.windows.task import Windows

__all__ = ["Windows"]
