"""Reports: SQL against Python, number by number, and what is stored of made streams."""

import json
import time
from typing import Any

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client

from processors.watch.drift import Comparison, compare, psi_interval, rate_ratio
from processors.watch.windows.reporting import HOUR_S, compare_releases, make_reports
from schemas.streams import BUCKET_S, EDGES, RELEASE
from sql.reports import positions, statistics
from sql.silences import Silence, store_silence
from tests.watch.drift_windows import TENANT, MadeStream, bucket_range
from tests.watch.test_detecting import client, database, drift, now, rate_counts

__all__ = ["client", "database"]

END_S = int(time.time()) // HOUR_S * HOUR_S
PAST = bucket_range(END_S - 8 * 86_400, 8 * 288)
WEEK_AGO = slice(288 - 12, 288)
"""The same hour a week before the last one."""


def pairs() -> list[tuple[list[int], list[int], list[float], float]]:
    """Counts of two windows that are alike, shifted, sparse, one-sided, or hardly there."""
    rng = np.random.default_rng(20_261_126)
    found = []
    for bins, places in (
        (2, []),
        (6, []),
        (5, [0.0, 1.0, 2.5, 7.0]),
        (21, positions(EDGES["score/1"])),
    ):
        for n, m, mix in (
            (3000, 900, 0.0),
            (3000, 900, 0.5),
            (100_000, 40_000, 0.03),
            (30, 12, 0.2),
        ):
            p = rng.dirichlet(np.full(bins, 0.4))
            q = (1 - mix) * p + mix * rng.dirichlet(np.ones(bins))
            found.append(
                (
                    rng.multinomial(n, p).tolist(),
                    rng.multinomial(m, q).tolist(),
                    places,
                    1 + 2 * mix,
                )
            )
    one = [0] * 5 + [500]
    found += [(one, one, [], 1.0), (one, [500] + [0] * 5, [], 1.0), ([0] * 6, one, [], 1.0)]
    return found


def computed(client: Client) -> list[dict[str, Any]]:
    listed = ", ".join(
        f"({i}, CAST({r}, 'Array(UInt64)'), CAST({c}, 'Array(UInt64)'), "
        f"CAST({places}, 'Array(Float64)'), toFloat64({phi}))"
        for i, (r, c, places, phi) in enumerate(pairs())
    )
    made = (
        "SELECT x.1 AS number, x.2 AS r, x.3 AS c, x.4 AS places, x.5 AS phi "  # noqa: S608
        f"FROM (SELECT arrayJoin([{listed}]) AS x)"
    )
    query = f"SELECT * FROM ({statistics(made)}) ORDER BY number"  # noqa: S608
    return list(client.query(query).named_results())


def assert_close(found: float | None, expected: float | None) -> None:
    if expected is None:
        assert found is None
    else:
        assert found == pytest.approx(expected, rel=1e-8, abs=1e-12)


def test_every_statistic_in_sql_is_that_of_python(database: Client) -> None:
    names = {"psi": "psi", "js": "js", "hellinger": "hellinger", "l_infinity": "linf"}
    names |= {"chi2": "chi2", "ks": "ks", "w1": "w1"}
    for (r, c, places, phi), row in zip(pairs(), computed(database), strict=True):
        found: Comparison = compare(r, c, places or None, phi)
        assert row["enough"] == (found.state == "ok")
        for ours, theirs in names.items():
            measure = getattr(found, theirs)
            expected = (measure.value, measure.p) if measure else (None, None)
            assert_close(row[ours], expected[0])
            if ours != "w1":
                assert_close(row[f"{ours}_p"], expected[1])
        if not sum(r):
            assert row["effect"] is None
        elif len(r) == 2:
            ratio = rate_ratio((r[0], r[1]), (c[0], c[1]), phi)
            assert ratio is not None
            said = (row["effect"], row["effect_low"], row["effect_high"])
            assert said == pytest.approx((ratio.value, ratio.low, ratio.high), rel=1e-9)
        else:
            psi = psi_interval(np.array(r), np.array(c), phi)
            assert psi is not None
            said = (row["effect"], row["effect_low"], row["effect_high"])
            assert said == pytest.approx((psi.value, psi.low, psi.high), rel=1e-9, abs=1e-12)


def test_reports_compare_with_the_same_hours_and_say_what_moved(client: Client) -> None:
    rng = np.random.default_rng(6)
    changed, steady, few = MadeStream("errors"), MadeStream("finish_reason"), MadeStream("cost_usd")
    counts = rate_counts(rng, len(PAST), 0.02)
    counts[:-12:2] = rate_counts(rng, len(counts[:-12:2]), 0.05)  # but not a week ago:
    counts[WEEK_AGO] = rate_counts(rng, 12, 0.02)
    counts[-12:] = rate_counts(rng, 12, 0.10)
    changed.put(client, PAST, counts)
    steady.put(client, PAST, rng.multinomial(100, [0.6, 0.1, 0.1, 0.1, 0.05, 0.05], len(PAST)))
    few.put(client, PAST[-3:], np.eye(3, len(few.edges.bins), dtype=np.int64))
    hour = PAST[-12:].tolist()
    make_reports(client, "genai_operations", hour, END_S)
    make_reports(client, "genai_operations", hour, END_S)
    rows = {row["stream_id"]: row for row in drift(client, "detector = 'report_1h'")}
    assert len(rows) == 3
    row = rows[changed.id]
    assert (row["state"], row["severity"], row["baseline"]) == ("changed", "", "seasonal")
    assert (row["n"], row["baseline_n"]) == (1200, 1200)
    assert 2.5 < row["effect_low"] < row["effect"] < row["effect_high"]
    assert row["p_value"] < 1e-6
    assert json.loads(row["explanation"])["bins"][0]["bin"] == "yes"
    assert "most moved: yes" in row["explained"]
    assert row["statistics"]["psi"] > 0.1
    assert rows[steady.id]["state"] == "steady"
    assert rows[few.id]["state"] in {"no_baseline", "insufficient_data"}
    shown = next(row for row in now(client, changed) if row["detector"] == "report_1h")
    assert (shown["verdict"], shown["state"]) == ("steady", "changed"), "only a detector says drift"


@pytest.mark.parametrize("labels", ['service_name="web"', 'service_name="elsewhere"'])
def test_what_was_silenced_is_no_reference(client: Client, labels: str) -> None:
    rng = np.random.default_rng(7)
    stream = MadeStream("errors")
    counts = rate_counts(rng, len(PAST), 0.02)
    counts[WEEK_AGO] = rate_counts(rng, 12, 0.40)  # an incident, silenced
    stream.put(client, PAST, counts)
    start_ns, end_ns = (int(PAST[WEEK_AGO][place]) * 10**9 for place in (0, -1))
    silence = Silence(TENANT, "s1", (labels,), start_ns, end_ns + 1, "ann", "incident", start_ns)
    store_silence(client, silence, time.time_ns())
    make_reports(client, "genai_operations", PAST[-12:].tolist(), END_S)
    (row,) = drift(client, "detector = 'report_1h'")
    silenced = "web" in labels
    assert row["state"] == ("steady" if silenced else "changed")
    assert row["baseline"] == ("previous" if silenced else "seasonal")


def test_a_release_is_compared_with_its_predecessor(client: Client) -> None:
    rng = np.random.default_rng(9)
    releases = {
        version: MadeStream("errors", dimensions=RELEASE, labels=("web", "prod", version))
        for version in ("1.0", "1.1", "2.0", "3.0")
    }
    hour = PAST[-12:]
    releases["1.0"].put(client, PAST[:-288], rate_counts(rng, len(PAST) - 288, 0.02, 10))
    releases["1.1"].put(client, PAST, rate_counts(rng, len(PAST), 0.02))
    releases["2.0"].put(client, hour, rate_counts(rng, 12, 0.06))
    releases["3.0"].put(client, hour, rate_counts(rng, 12, 0.02))
    compare_releases(client, END_S, ["calls"])
    rows = {row["stream_id"]: row for row in drift(client, "detector = 'release_change'")}
    assert set(rows) == {releases["2.0"].id, releases["3.0"].id}
    row = rows[releases["2.0"].id]
    assert (row["state"], row["severity"], row["baseline"]) == ("drift", "ticket", "predecessor")
    assert json.loads(row["explanation"])["predecessor"]["label"] == "1.1"
    assert row["effect_low"] < 3 < row["effect_high"]
    assert row["explained"].startswith("release 2.0: ")
    assert rows[releases["3.0"].id]["state"] == "steady"
    assert now(client, releases["2.0"])[0]["severity"] == "ticket"
    assert row["bucket"].timestamp() % 3600 - 3000 == BUCKET_S
