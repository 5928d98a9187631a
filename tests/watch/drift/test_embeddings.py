"""Embeddings: hour by hour from moments, correlated dimensions included."""

import json
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
from processors.watch.drift.embedding_backtest import (
    Hourly,
    embedding_threshold,
    replay_embeddings,
    shifted,
)
from processors.watch.drift.embedding_verdicts import embedding_effect
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
    baseline = fit_embedding_baseline(
        [hour(rng, int(rng.integers(60, 200))) for _ in range(400)], range(400)
    )
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
    baseline = fit_embedding_baseline([constant] * 60, range(60))
    constant_detector = EmbeddingDetector(baseline, MONTH)
    _, alarm = run(constant_detector, [constant] * 100)
    assert alarm is None
    assert not fit_embedding_baseline([], []).ready
    assert not fit_embedding_baseline([constant], [0]).ready


def test_a_state_in_the_middle_of_a_change_survives_exactly(detector: EmbeddingDetector) -> None:
    rng = np.random.default_rng(8)
    state, _ = run(detector, [hour(rng, shift=0.3) for _ in range(3)])
    assert state.seen is not None
    kept = EmbeddingState.loads(state.dumps())
    assert kept == state
    moments = hour(rng, shift=0.3)
    assert detector.step(kept, state.hour + 1, moments, NOW) == detector.step(
        state, state.hour + 1, moments, NOW
    )
    other = json.dumps([99, *json.loads(state.dumps())[1:]])
    assert EmbeddingState.loads(other) == EmbeddingState()
    with pytest.raises(ValueError, match="state"):
        EmbeddingState.loads("[1, 2]")


def test_the_effect_is_the_shift_whatever_the_number_of_rows(detector: EmbeddingDetector) -> None:
    rng = np.random.default_rng(9)
    spread = np.sqrt(
        detector.baseline.moments.sum2 / detector.baseline.moments.rows
        - (detector.baseline.moments.sum1 / detector.baseline.moments.rows) ** 2
    )
    for wanted in (0.2, 0.5):
        for rows in (100, 1000, 4000):
            found = [
                embedding_effect(detector.baseline, shifted(hour(rng, rows), wanted * spread))
                for _ in range(40)
            ]
            effects = [interval for told in found if told is not None for interval in told[:1]]
            assert np.median([one.value for one in effects]) == pytest.approx(wanted, rel=0.15)
            assert np.mean([one.low <= wanted <= one.high for one in effects]) >= 0.85
    (still, _) = embedding_effect(detector.baseline, hour(rng, 4000)) or (None, "")
    assert still is not None
    assert still.low == 0.0


def test_a_shift_of_moments_is_that_of_vectors() -> None:
    rng = np.random.default_rng(10)
    vectors, by = 0.3 * rng.standard_normal((20_000, 4)) + 0.1, rng.standard_normal(4) / 5
    moved, exact = shifted(Moments.of(vectors), by), Moments.of(vectors + by)
    assert moved.sum1 == pytest.approx(exact.sum1)
    assert moved.sum2 == pytest.approx(exact.sum2)
    assert moved.sum4 == pytest.approx(exact.sum4, rel=0.02), "third moments are a normal's"


def test_rotated_flipped_or_scaled_the_statistics_stay() -> None:
    rng = np.random.default_rng(11)
    x, y = rng.standard_normal((400, 5)), rng.standard_normal((200, 5)) + 0.2
    first = statistics(Moments.of(x), Moments.of(y))
    swapped = statistics(Moments.of(x[:, ::-1]), Moments.of(y[:, ::-1]))
    scaled = statistics(Moments.of(-7 * x), Moments.of(-7 * y))
    assert swapped == pytest.approx(first)
    assert scaled == pytest.approx(first)
    assert statistics(Moments.of(x), Moments.of(x)) == (0.0, 0.0)
    nearer = statistics(Moments.of(x), Moments.of(y - 0.1))
    assert nearer[0] < first[0]


def test_the_threshold_holds_the_wanted_false_alarms_where_days_differ() -> None:
    """Topics of the day: hours of a day move together, which no single hour's law shows."""
    rng = np.random.default_rng(12)

    def month(days: int) -> Hourly:
        found = []
        for day in range(days):
            topic = 0.08 * rng.standard_normal(DIMENSIONS)
            found += [
                (24 * day + h, Moments.of(rng.standard_normal((80, DIMENSIONS)) + topic))
                for h in range(24)
            ]
        return Hourly.of(found)

    alarms = 0
    for _ in range(6):
        past = month(28)
        baseline = past.fitted()
        threshold = embedding_threshold(past, baseline)
        assert threshold.log_threshold >= threshold.guaranteed == pytest.approx(MONTH)
        detector = EmbeddingDetector(baseline, threshold.log_threshold)
        alarms += len(replay_embeddings(month(30), detector).alarms)
    assert alarms <= 6, "one a month"
    few = embedding_threshold(month(4), fit_embedding_baseline([], []))
    assert (few.false_alarms, few.log_threshold) == (None, pytest.approx(MONTH))
    with pytest.raises(ValueError, match="positive"):
        embedding_threshold(month(1), fit_embedding_baseline([], []), 0)
