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


def picture(replay: Replay, title: str, bin_number: int = -1, began_s: int | None = None) -> bytes:
    """PNG: the share of a bin by hour with its baseline's band; below it the evidence, the
    threshold and the alarms (solid where they were a drift). ``began_s``: since when an alert
    fires, s since 1970. Empty replays give an empty frame."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    times = (replay.buckets * BUCKET_S).astype("datetime64[s]")
    smooth = _hourly(replay.shares[:, bin_number])
    usual, width = replay.expected[:, bin_number], replay.band[:, bin_number]
    width = width / np.sqrt(BUCKETS_PER_HOUR)
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
    above.set_ylabel("share")
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


def _hourly(values: np.ndarray) -> np.ndarray:
    """Mean of the last hour's buckets."""
    total = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(0, ends - BUCKETS_PER_HOUR)
    return np.asarray((total[ends] - total[begins]) / (ends - begins))
