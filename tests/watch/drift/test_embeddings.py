"""Embeddings: hour by hour from moments, correlated dimensions included."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from processors.watch.drift import (
    EmbeddingDetector,
    EmbeddingState,
    Moments,
    fit_embedding_baseline,
)
from processors.watch.drift.embeddings import ROWS_MIN, log_e_value, p_values, statistics

DIMENSIONS = 16
NOW = 10**7
MONTH = math.log(30 * 24)
MIXING = np.eye(DIMENSIONS) + 0.3


def hour(
    rng: np.random.Generator, rows: int = 100, shift: float = 0.0, scale: float = 1.0
) -> Moments:
    vectors = scale * rng.standard_normal((rows, DIMENSIONS)) @ MIXING + shift
    return Moments.of(vectors)


@pytest.fixture(scope="module")
def detector() -> EmbeddingDetector:
    rng = np.random.default_rng(1)
    baseline = fit_embedding_baseline([hour(rng, int(rng.integers(60, 200))) for _ in range(400)])
    assert baseline.ready
    return EmbeddingDetector(baseline, MONTH)


def test_moments_merge() -> None:
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((90, 3))
    whole, parts = Moments.of(vectors), Moments.of(vectors[:40]).plus(Moments.of(vectors[40:]))
    for name in ("sum1", "sum2", "sum4"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name))
    back = whole.plus(Moments.of(vectors[40:]), -1)
    assert (back.rows, back.sum4.tolist()) == (40, pytest.approx(Moments.of(vectors[:40]).sum4))


def test_t2_is_welchs_statistic_squared() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((500, 4)), rng.standard_normal((300, 4)) + 0.1
    first, _ = statistics(Moments.of(x), Moments.of(y))
    t = stats.ttest_ind(x, y, axis=0, equal_var=False).statistic
    # Welch divides by rows - 1, we by rows.
    assert first == pytest.approx(float((t**2).sum()), rel=0.01)


def test_p_values_are_as_rare_as_they_say(detector: EmbeddingDetector) -> None:
    rng = np.random.default_rng(4)
    seen = np.array([p_values(detector.baseline, hour(rng)) for _ in range(500)])
    assert ((seen < 0.05).mean(axis=0) <= 0.1).all()
    assert ((seen < 0.005).mean(axis=0) <= 0.02).all()
    assert ((seen < 0.5).mean(axis=0) >= 0.3).all()


def test_an_e_value_has_mean_1() -> None:
    mean, _ = integrate.quad(lambda u: math.exp(log_e_value(math.exp(-u)) - u), 0, 27.6)
    # What lies below the smallest p-value is cut off: 1/27.6 of it.
    assert 1 - 1 / 27 <= mean <= 1 + 1e-6


def run(
    detector: EmbeddingDetector, hours: list[Moments], state: EmbeddingState | None = None
) -> tuple[EmbeddingState, int | None]:
    state = state or EmbeddingState()
    begin = state.hour + 1
    for number, moments in enumerate(hours):
        state, counted = detector.step(state, begin + number, moments, NOW)
        assert counted
        if detector.fired(state):
            return state, number + 1
    return state, None


def test_a_month_without_change_rarely_alarms(detector: EmbeddingDetector) -> None:
    rng = np.random.default_rng(5)
    alarms = sum(run(detector, [hour(rng) for _ in range(720)])[1] is not None for _ in range(4))
    assert alarms <= 2


@pytest.mark.parametrize("change", [{"shift": 0.3}, {"scale": 1.25}, {"scale": 0.8}])
def test_a_moved_mean_and_another_spread_are_found(
    detector: EmbeddingDetector, change: dict[str, float]
) -> None:
    rng = np.random.default_rng(6)
    state, alarm = run(detector, [hour(rng) for _ in range(48)])
    assert alarm is None
    _, after = run(detector, [hour(rng, **change) for _ in range(12)], state)
    assert after is not None


def test_bad_hours_change_nothing(detector: EmbeddingDetector) -> None:
    rng = np.random.default_rng(7)
    state, _ = run(detector, [hour(rng) for _ in range(3)])
    good = hour(rng)
    nan = Moments(100, good.sum1 * math.nan, good.sum2, good.sum4)
    few = hour(rng, ROWS_MIN - 1)
    narrow = Moments.of(np.ones((100, 3)))
    for number, moments in ((3, nan), (3, few), (3, narrow), (2, good), (NOW + 1, good)):
        assert detector.step(state, number, moments, NOW) == (state, False)
    kept = EmbeddingState.loads(state.dumps())
    assert kept == state
    with pytest.raises(ValueError, match="state"):
        EmbeddingState.loads("7")


def test_constant_embeddings_raise_nothing() -> None:
    constant = Moments.of(np.full((100, 4), 0.5))
    baseline = fit_embedding_baseline([constant] * 60)
    constant_detector = EmbeddingDetector(baseline, MONTH)
    _, alarm = run(constant_detector, [constant] * 100)
    assert alarm is None
    assert not fit_embedding_baseline([]).ready
    assert not fit_embedding_baseline([constant]).ready
