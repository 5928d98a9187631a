"""The picture of a replay, as PNG. Needs the optional extra ``pictures`` (matplotlib)."""

from io import BytesIO

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from processors.watch.drift.backtest import Replay
from processors.watch.drift.series import BUCKET_S, BUCKETS_PER_HOUR
from processors.watch.drift.verdict import DriftState

POINTS_MAX = 4000
SHOWN_BELOW = -2.0
"""Evidence below this is drawn there: far down it says no more."""


def picture(
    replay: Replay,
    title: str,
    per_hour: int = BUCKETS_PER_HOUR,
    value: str = "share",
    began_s: int | None = None,
) -> bytes:
    """PNG: the last bin's share by hour with its baseline's band; below it the evidence, the
    threshold and the alarms (solid where they were a drift). Empty replays give an empty frame.

    ``per_hour``: points of the arrays in an hour; ``value``: what they hold; ``began_s``: since
    when an alert fires, s since 1970.
    """
    figure = Figure(figsize=(11, 6), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    times = (replay.buckets * BUCKET_S).astype("datetime64[s]")
    smooth = _hourly(replay.shares[:, -1], per_hour)
    usual, width = replay.expected[:, -1], replay.band[:, -1] / np.sqrt(per_hour)
    some = slice(None, None, max(1, len(times) // POINTS_MAX))
    above.fill_between(
        times[some],
        np.maximum(0.0, usual - width)[some],
        (usual + width)[some],
        color="#b8cbe0",
        label="baseline, two standard errors of an hour",
    )
    above.plot(times[some], usual[some], color="#4a6d94", linewidth=1.0, label="baseline")
    above.plot(times[some], smooth[some], color="black", linewidth=1.0, label="hourly mean")
    above.set_ylabel(value)
    above.set_title(title, loc="left")
    evidence = np.maximum(replay.evidence, SHOWN_BELOW) / np.log(10.0)
    below.plot(times[some], evidence[some], color="#7a3b8f", linewidth=1.0, label="evidence")
    below.axhline(
        replay.log_threshold / np.log(10.0), color="#c0392b", linestyle=":", label="threshold"
    )
    below.set_ylabel("evidence, log10 M")
    for alarm in replay.alarms:
        solid = alarm.verdict.state is DriftState.DRIFT
        at = np.datetime64(alarm.bucket * BUCKET_S, "s")
        for axes in (above, below):
            axes.axvline(at, color="#c0392b", linestyle="-" if solid else "--", linewidth=1.2)
    if began_s is not None:
        above.axvline(
            np.datetime64(began_s, "s"), color="#e67e22", linewidth=1.5, label="the alert"
        )
    locator = AutoDateLocator()
    below.xaxis.set_major_locator(locator)
    below.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    for axes in (above, below):
        axes.legend(loc="upper left", fontsize=8)
    out = BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return out.getvalue()


def _hourly(values: np.ndarray, per_hour: int) -> np.ndarray:
    """Mean of the last hour's points."""
    total = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(0, ends - per_hour)
    return np.asarray((total[ends] - total[begins]) / (ends - begins))
