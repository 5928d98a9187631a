"""Number plans of the world as fast tables, made once from the metadata of ``phonenumbers``.

Its own parser takes some 100 us a number, too slow for hostile text; its data, as patterns and
group sizes, answers in a few.
"""

import itertools
import re
from dataclasses import dataclass
from functools import cache

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

REGIONS = (
    "US", "GB", "DE", "FR", "ES", "IT", "PT", "NL", "BE", "AT", "CH", "SE", "NO", "DK", "FI",
    "PL", "CZ", "GR", "IE", "HU", "RO", "IN", "JP", "CN", "KR", "BR", "MX", "AR", "AU", "NZ",
    "ZA", "IL", "TR", "RU", "UA", "SG", "HK", "AE", "SA", "EG", "NG", "TH", "VN", "ID", "PH",
)  # fmt: skip
"""Numbers without a country code are known where they are written as one of these does."""

_KINDS = ("fixed_line", "mobile", "toll_free", "shared_cost", "premium_rate", "voip", "uan",
          "personal_number")  # fmt: skip
_GROUP = re.compile(r"\(((?:\[[^\]]+\]|\\d|\d)[^()]*)\)")
_REPEATS = re.compile(r"(?:\[[^\]]+\]|\\d|\d)(?:\{(\d+)(?:,(\d+))?\})?")


@dataclass(frozen=True, slots=True)
class Plan:
    """One region's numbers: its trunk prefix, and what follows it."""

    region: str
    trunk: str
    national: re.Pattern[str]

    def has(self, digits: str) -> bool:
        """Whether these digits, with or without the trunk prefix, are a number of the region."""
        if self.trunk and digits.startswith(self.trunk):
            return self.national.fullmatch(digits, len(self.trunk)) is not None
        return self.national.fullmatch(digits) is not None


def _metadata(region: str) -> PhoneMetadata:
    found = PhoneMetadata.metadata_for_region(region, None)
    if found is None:
        raise LookupError(f"phonenumbers knows no region {region}")
    return found


@cache
def plan(region: str) -> Plan:
    """The plan of a region."""
    data = _metadata(region)
    kinds = [getattr(data, kind) for kind in _KINDS]
    patterns = [k.national_number_pattern for k in kinds if k and k.national_number_pattern]
    return Plan(region, data.national_prefix or "", re.compile("|".join(patterns)))


@cache
def groupings() -> dict[tuple[int, ...], tuple[Plan, ...]]:
    """Regions by the sizes of the digit groups in which they write numbers, trunk prefix in."""
    found: dict[tuple[int, ...], dict[str, Plan]] = {}
    for region in REGIONS:
        data = _metadata(region)
        for number_format in data.number_format:
            for sizes in _sizes(number_format.pattern or ""):
                trunk = len(data.national_prefix or "")
                written = [sizes, (sizes[0] + trunk, *sizes[1:])]
                written += [(trunk, *sizes)] if trunk else []
                for grouping in written:
                    found.setdefault(grouping, {})[region] = plan(region)
    return {grouping: tuple(plans.values()) for grouping, plans in found.items()}


def _sizes(pattern: str) -> list[tuple[int, ...]]:
    """Group sizes that a format's pattern allows, e.g. ``(\\d{2})(\\d{3,4})``."""
    ranges: list[range] = []
    for group in _GROUP.findall(pattern):
        least = most = 0
        for low, high in _REPEATS.findall(group):
            least += int(low or 1)
            most += int(high or low or 1)
        ranges.append(range(least, most + 1))
    return list(itertools.product(*ranges)) if ranges else []


@cache
def _lengths(code: int) -> frozenset[int]:
    regions = COUNTRY_CODE_TO_REGION_CODE[code]
    if regions[0] == "001":
        return frozenset(range(7, 13))
    data = [_metadata(region).general_desc for region in regions]
    return frozenset(size for d in data if d for size in d.possible_length)


def is_international(digits: str) -> bool:
    """Whether the digits after ``+`` are a country code and a number of a possible length."""
    for size in (1, 2, 3):
        code = int(digits[:size] or 0)
        if code in COUNTRY_CODE_TO_REGION_CODE:
            return len(digits) - size in _lengths(code)
    return False


def is_national(digits: str) -> bool:
    """Whether some region has this number, however it is grouped."""
    return any(plan(region).has(digits) for region in REGIONS)
