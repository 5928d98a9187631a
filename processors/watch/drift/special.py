"""The two distribution functions that drift needs, so that the product does without scipy."""

import math

_TINY = 1e-300
_RELATIVE = 1e-14
_TERMS_MAX = 100_000


def normal_sf(z: float) -> float:
    """P(Z > z) of the standard normal distribution."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def chi2_sf(x: float, df: float) -> float:
    """P(X > x) of chi-squared with ``df`` > 0 degrees of freedom, fractional ones included.

    The regularised incomplete gamma function Q(df/2, x/2): its series below the mean, its
    continued fraction (Lentz) above (Press et al., Numerical Recipes, section 6.2).
    Zero degrees of freedom know no change: 1. Raises ``ValueError`` for NaN.
    """
    if math.isnan(x) or math.isnan(df):
        raise ValueError("chi2_sf of NaN")
    if df <= 0 or x <= 0:
        return 1.0
    if math.isinf(x):
        return 0.0
    shape, point = df / 2.0, x / 2.0
    front = math.exp(shape * math.log(point) - point - math.lgamma(shape))
    if point < shape + 1.0:
        return max(0.0, 1.0 - front * _gamma_series(shape, point))
    return min(1.0, front * _gamma_fraction(shape, point))


def _gamma_series(shape: float, point: float) -> float:
    term = total = 1.0 / shape
    for number in range(1, _TERMS_MAX):
        term *= point / (shape + number)
        total += term
        if term < total * _RELATIVE:
            break
    return total


def _gamma_fraction(shape: float, point: float) -> float:
    base = point + 1.0 - shape
    ratio = 1.0 / _TINY
    inverse = 1.0 / base
    value = inverse
    for number in range(1, _TERMS_MAX):
        factor = -number * (number - shape)
        base += 2.0
        inverse = 1.0 / _away_from_zero(factor * inverse + base)
        ratio = _away_from_zero(base + factor / ratio)
        step = inverse * ratio
        value *= step
        if abs(step - 1.0) < _RELATIVE:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
