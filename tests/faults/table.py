"""The record of all runs: ``docs/fault-tests.jsonl``, and the page made from it."""

import subprocess
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

import orjson

from tests.kafka.service import ROOT

RESULTS = ROOT / "docs" / "fault-tests.jsonl"
PAGE = ROOT / "docs" / "fault-tests.md"
CODE = ("ingest", "processors", "schemas", "sql", "stack/clickhouse", "stack/verify",
        "tests/faults", "tests/kafka")  # fmt: skip
ALERTS = "alerts"
"""Name of the seeded runs of alerts."""
ALERT_COUNTS = ("transitions", "lost", "two_ids", "written_again", "deliveries", "undelivered",
                "delivered_again", "under_another_key", "refused", "problems")  # fmt: skip
COUNTS = ("spans_acked", "lost", "duplicates", "phantoms", "problems")

Row = dict[str, Any]


def version() -> str:
    """The commit of the code under test; a change to docs alone keeps it."""
    git = ("git", "-C", str(ROOT))
    log = subprocess.run(
        [*git, "log", "-1", "--format=%h", "--", *CODE], capture_output=True, text=True, check=True
    )
    dirty = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", *CODE], check=False)
    return log.stdout.strip() + ("+" if dirty.returncode else "")


def rows() -> list[Row]:
    """Everything recorded."""
    if not RESULTS.exists():
        return []
    return [orjson.loads(line) for line in RESULTS.read_bytes().splitlines()]


def append(row: Row) -> None:
    """Record one run."""
    with RESULTS.open("ab") as file:
        file.write(orjson.dumps(row) + b"\n")


def totals(recorded: Sequence[Row]) -> Row:
    """Sums over seeded runs."""
    return {"runs": len(recorded)} | {
        name: sum(int(row[name]) for row in recorded) for name in COUNTS
    }


def last_line(commit: str) -> str:
    """What ``make faults`` ends with: all seeds recorded for this version."""
    own = [row for row in rows() if row["commit"] == commit and row["run"] == "seed"]
    found = totals(own)
    names = ("runs", "lost", "duplicates", "phantoms", "problems", "spans_acked")
    return " ".join(f"{name}={found[name]}" for name in names)


def alerts_line(commit: str) -> str:
    """What a run of alerts ends with: all of its seeds recorded for this version."""
    own = [row for row in rows() if (row["commit"], row["run"]) == (commit, ALERTS)]
    sums = {name: sum(int(row[name]) for row in own) for name in ALERT_COUNTS}
    return " ".join(f"{name}={count}" for name, count in {"runs": len(own), **sums}.items())


def write() -> None:
    """The page."""
    recorded = rows()
    seeds = [row for row in recorded if row["run"] == "seed"]
    lines = [_HEAD]
    if seeds:
        lines += _summary(seeds)
        lines += _by_fault(seeds)
    lines += _windows([row for row in recorded if row["run"] == "windows"])
    lines += _alerts([row for row in recorded if row["run"] == ALERTS])
    lines += _named([row for row in recorded if row["run"] not in ("seed", "windows", ALERTS)])
    if seeds:
        lines += _each(seeds)
    PAGE.write_text("\n".join(lines) + "\n")


_HEAD = """# Fault tests

Written by `make faults`; every run with its faults is a line of `fault-tests.jsonl`. Each seed:
three Apache Kafka brokers (replication 3, `min.insync.replicas` 2), the embedded ClickHouse
engine, gateway and seven stages on one two-core machine; session timeout 6 s; about 110 traces by
OTLP/HTTP, OTLP/gRPC, straight to Kafka and by `KafkaSpanExporter`, some with their texts in log
records. In each seed one stage has two workers, one of which dies at a named point; there is one
outage of Kafka or ClickHouse, one fault of a worker, one of the gateway, and one inside a process
or in the traffic.

A run is right if every span with success is stored once or in the dead letters, nothing is visible
twice and nothing was invented, alerts are those that the stored verdicts call for, every
undecodable message has one dead letter, memory stays within bounds, and the line moves again within
45 s of the last fault's end. `commit` with `+` is that commit with changes not yet committed; a run
that found a fault, of the product or of the tests, stays in the table, and its seed is run again
with later commits.
"""


def _summary(seeds: list[Row]) -> list[str]:
    lines = ["## Seeds", "", "| commit | runs | spans with success | refused, sent again | lost | "
             "duplicates | phantoms | wrong | recovered, median s | longest s |",
             "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for commit in dict.fromkeys(row["commit"] for row in seeds):
        own = [row for row in seeds if row["commit"] == commit]
        found = totals(own)
        times = [float(row["recovered_s"]) for row in own]
        refused = sum(int(row["refused"]) for row in own)
        wrong = sum(bool(row["problems"]) for row in own)
        lines.append(
            f"| {commit} | {found['runs']} | {found['spans_acked']:,} | {refused:,} | "
            f"{found['lost']} | {found['duplicates']} | {found['phantoms']} | {wrong} | "
            f"{median(times):.1f} | {max(times):.1f} |"
        )
    return [*lines, ""]


def _by_fault(seeds: list[Row]) -> list[str]:
    """How often each fault was done, and how long recovery took in its runs."""
    times: dict[str, list[float]] = {}
    wrong: Counter[str] = Counter()
    for row in seeds:
        for name in row["faults"]:
            kind = _kind(name, reached=bool(row["point_reached"]))
            times.setdefault(kind, []).append(float(row["recovered_s"]))
            wrong[kind] += bool(row["problems"])
    lines = ["## Faults", "", "Recovery is that of the whole run: nothing missing any more.", "",
             "| fault | runs | of them wrong | recovered, median s | longest s |",
             "| --- | --- | --- | --- | --- |"]  # fmt: skip
    lines += [
        f"| {kind} | {len(found)} | {wrong[kind]} | {median(found):.1f} | {max(found):.1f} |"
        for kind, found in sorted(times.items())
    ]
    return [*lines, ""]


def _kind(name: str, *, reached: bool) -> str:
    """A fault without its moment and count."""
    if not reached:
        name = name.replace(" killed at ", " killed before it came to ")
    moment, _, rest = name.partition("s ")
    kind = rest if rest and moment.replace(".", "").isdigit() else name
    kind = kind.partition(":")[0]
    words = kind.split()
    if "clock" in words:
        return "clock jump of " + words[0].removesuffix("-0")
    return "undecodable messages" if kind.endswith("undecodable messages") else kind


def _windows(found: list[Row]) -> list[str]:
    if not found:
        return []
    compared, differ = (sum(int(row[name]) for row in found) for name in ("windows", "differ"))
    return [f"## Windows\n\n{compared:,} sealed windows (of the runs whose command has ended) "
            f"were compared with a recount of their rows: {differ} differ.\n"]  # fmt: skip


_ALERTS_HEAD = """## Alerts

`make faults NAME=alerts`: the embedded broker and ClickHouse engine, `watch` and `notify` twice
each, six timed rules and a fast one, two receivers. In each seed an evaluator and a notifier are
killed with SIGKILL at a named point (a rule's question asked, a transition produced, processed,
acknowledged; a notification received, answered) and at any moment, one of each is frozen beyond its
session and wakes as the owner that it no longer is, and receivers are busy, hang and close. A run
is right if the transitions are exactly those of an undisturbed evaluator, each under one id and
stored once, if each receiver took every one of them, ends after beginnings, and what came again
came under the same key.
"""


def _alerts(found: list[Row]) -> list[str]:
    """Sums by commit."""
    if not found:
        return []
    columns = ("commit", "runs", *ALERT_COUNTS)
    lines = [_ALERTS_HEAD, "| " + " | ".join(name.replace("_", " ") for name in columns) + " |",
             "| " + " | ".join("---" for _ in columns) + " |"]  # fmt: skip
    for commit in dict.fromkeys(row["commit"] for row in found):
        own = [row for row in found if row["commit"] == commit]
        sums = [f"{sum(int(row[name]) for row in own):,}" for name in ALERT_COUNTS]
        lines.append("| " + " | ".join((commit, str(len(own)), *sums)) + " |")
    return [*lines, ""]


def _named(found: list[Row]) -> list[str]:
    if not found:
        return []
    lines = ["## Named runs", "",
             "`make faults NAME=...`; memory of every process is in `fault-tests.jsonl`.", "",
             "| run | commit | spans with success | refused, sent again | lost | duplicates | "
             "phantoms | wrong | recovered, s | beside |",
             "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for row in found:
        lines.append(
            f"| {row['run']} | {row['commit']} | {row['spans_acked']:,} | {row['refused']:,} | "
            f"{row['lost']} | {row['duplicates']} | {row['phantoms']} | {row['problems']} | "
            f"{row['recovered_s']} | {_beside(row)} |"
        )
    return [*lines, ""]


def _beside(row: Row) -> str:
    """What one kind of run alone tells."""
    told: list[str] = []
    if "sustained_traces_per_s" in row:
        told.append(f"sustained {row['sustained_traces_per_s']} traces/s, sent twice that")
        grown = sorted(row["rss_last_over_minute_2"].items(), key=lambda one: -one[1])
        worst = ", ".join(f"{name.removesuffix('-0')} {ratio}" for name, ratio in grown[:2])
        told.append(f"memory at minute 10 over minute 2: {worst}, others less")
    if "stored_after_median_s_during" in row:
        before, during = (
            f"{row[f'stored_after_median_s_{when}']} s (p95 {row[f'stored_after_p95_s_{when}']} s)"
            for when in ("before", "during")
        )
        told.append(f"calls of others stored after {before}, during it {during}")
    if "hot_refused" in row:
        told.append(f"the hot tenant was refused {row['hot_refused']} times")
    return "; ".join(told)


def _each(seeds: list[Row]) -> list[str]:
    columns = ("seed", "commit", "spans_acked", "calls", "refused", "junk", "progress_s",
               "recovered_s", "lost", "duplicates", "phantoms", "problems")  # fmt: skip
    lines = ["## Every seed", "", "| " + " | ".join(columns) + " |",
             "| " + " | ".join("---" for _ in columns) + " |"]  # fmt: skip
    return lines + [
        "| " + " | ".join(str(row.get(name, "")) for name in columns) + " |" for row in seeds
    ]
