"""Simulated streams for ``bench.drift``: a past, a month without change, and changes."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from processors.watch.drift.series import BUCKETS_PER_DAY, BUCKETS_PER_WEEK, Series

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ROWS = 100
"""Rows a 5-minute bucket, on average."""
RATE = 0.02
BINS = 10
HISTORY_WEEKS = 4
RELEASE_DAYS = 7
RELEASE_SPREAD = 0.2
"""Standard deviation of the log of what a release does to a rate (or of a tilt to a histogram)."""
TILT = np.linspace(-1.0, 1.0, BINS)


@dataclass(frozen=True)
class Scenario:
    """How a stream behaves while nothing is wrong.

    ``phi``: over-dispersion of each bucket. ``daily``: relative amplitude of the day, of rate and
    traffic. ``weekend``: factor on both at weekends. ``releases``: a deploy every week, each of
    which changes the level for good.
    """

    name: str
    phi: float = 1.0
    daily: float = 0.0
    weekend: float = 1.0
    releases: bool = False


SCENARIOS = (
    Scenario("i.i.d."),
    Scenario("over-dispersed, phi = 3", phi=3.0),
    Scenario("daily pattern", daily=0.4),
    Scenario("weekly pattern", daily=0.4, weekend=0.7),
    Scenario("with deploys", releases=True),
)


@dataclass(frozen=True)
class Change:
    """What goes wrong: the rate times ``factor``, or a tilt of the histogram by ``psi``."""

    name: str
    factor: float = 1.0
    psi: float = 0.0
    days: int = 3
    """How long to wait for an alarm."""


RATE_CHANGES = (
    Change("x1.25", factor=1.25, days=8),
    Change("x1.5", factor=1.5, days=4),
    Change("x2", factor=2.0),
    Change("x5", factor=5.0),
)
HISTOGRAM_CHANGES = (
    Change("PSI 0.006", psi=0.006, days=4),
    Change("PSI 0.013", psi=0.013, days=4),
    Change("PSI 0.023", psi=0.023),
    Change("PSI 0.05", psi=0.05),
    Change("PSI 0.14", psi=0.14),
)


@dataclass(frozen=True)
class Simulator:
    """Draws one kind of stream (``bins`` 2 for a rate). ``level``: what the release has done."""

    scenario: Scenario
    bins: int
    level: float = 0.0

    def released(self, rng: np.random.Generator) -> "Simulator":
        """The same after a deploy, where the scenario has them."""
        if not self.scenario.releases:
            return self
        return replace(self, level=float(rng.normal(0.0, RELEASE_SPREAD)))

    def draw(self, rng: np.random.Generator, buckets: Ints, change: Ints, what: Change) -> Ints:
        """Counts [..., T, B] of buckets [..., T]; ``change`` [...] is the place of the first
        changed one (T = none)."""
        wave = self._wave(buckets)
        changed = np.arange(buckets.shape[-1]) >= change[..., None]
        rows = np.full(buckets.shape, ROWS)
        if self.scenario.daily or self.scenario.weekend != 1.0:
            rows = rng.poisson(ROWS * (1.0 + wave))
        if self.bins == 2:
            share = RATE * (1.0 + wave) * np.exp(self.level) * np.where(changed, what.factor, 1.0)
            share = np.minimum(share, 0.95)
            shares = np.stack([1.0 - share, share], axis=-1)
        else:
            slope = 0.5 * wave + 0.5 * self.level + np.where(changed, slope_of(what.psi), 0.0)
            shares = tilted(slope)
        if self.scenario.phi > 1.0:
            spread = (np.maximum(rows, 2) - 1.0) / (self.scenario.phi - 1.0) - 1.0
            shares = dirichlet(rng, shares * spread[..., None])
        return np.asarray(rng.multinomial(rows, shares))

    def _wave(self, buckets: Ints) -> Floats:
        phase = 2.0 * np.pi * (buckets % BUCKETS_PER_DAY) / BUCKETS_PER_DAY
        day = 1.0 + self.scenario.daily * np.sin(phase)
        # The epoch was a Thursday: days 2 and 3 of its week are Saturday and Sunday.
        weekday = buckets % BUCKETS_PER_WEEK // BUCKETS_PER_DAY
        rest = np.where((weekday == 2) | (weekday == 3), self.scenario.weekend, 1.0)
        return np.asarray(day * rest - 1.0)


def dirichlet(rng: np.random.Generator, alpha: Floats) -> Floats:
    """Shares [..., B] around alpha / sum(alpha), which make multinomial counts clump."""
    drawn = rng.standard_gamma(alpha) + 1e-300
    return np.asarray(drawn / drawn.sum(axis=-1, keepdims=True))


def tilted(slope: Floats) -> Floats:
    """Shares [..., BINS] of equal bins tilted exponentially."""
    weight = np.exp(np.asarray(slope)[..., None] * TILT)
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True))


def slope_of(psi: float) -> float:
    """The tilt of equal bins with that PSI, by bisection."""
    low, high = 0.0, 3.0
    while high - low > 1e-9:
        middle = (low + high) / 2.0
        shares = tilted(np.array(middle))
        reached = float(((shares - 1.0 / BINS) * np.log(shares * BINS)).sum())
        low, high = (middle, high) if reached < psi else (low, middle)
    return low


@dataclass(frozen=True)
class Past:
    """A stream's history: all of it, and from its current release on."""

    series: Series
    release: Series
    simulator: Simulator
    end: int


def past(rng: np.random.Generator, scenario: Scenario, bins: int, weeks: int) -> Past:
    """A history of so many weeks; with deploys, one release a week and two days of the next."""
    simulator = Simulator(scenario, bins)
    parts, buckets = [], []
    spans = [BUCKETS_PER_WEEK] * weeks
    if scenario.releases:
        spans.append(2 * BUCKETS_PER_DAY)
    begun = 3000 * BUCKETS_PER_WEEK
    for span in spans:
        simulator = simulator.released(rng)
        index = np.arange(begun, begun + span)
        parts.append(simulator.draw(rng, index, np.array(span), Change("none")))
        buckets.append(index)
        begun += span
    series = Series.of(np.concatenate(buckets), np.concatenate(parts))
    release = Series.of(buckets[-1], parts[-1]) if scenario.releases else series
    return Past(series, release, simulator, begun)
