"""What the redactor finds and how fast, beside Presidio's pattern recognisers, in one run.

``python -m bench.redaction --presidio DIR/bin/python`` with an environment made from
``bench/redaction-requirements.txt``. Both read the test set of ``tests/privacy/corpus.txt``;
precision, recall and F1 are of the entities that both look for (Presidio at the threshold that is
best for it), and of ours with secrets. Speed is megabytes of UTF-8 per second of processor time of
one thread, over the test set (dense with personal data) and over ordinary conversations.
"""

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from processors.operations.detectors import detect
from processors.operations.redact import Redactor
from stack.demo.conversations import conversations
from tests.privacy.corpus import SECRETS, Counts, Sample, Span, samples, score, total

RESULTS = Path(__file__).parent / "results" / "redaction.json"
SCRIPT = Path(__file__).parent / "redaction_presidio.py"
LINES = 12
"""Samples in one document: about the length of a message, and beyond what is cached."""
ROUNDS = 3
CONVERSATIONS = 150


def documents() -> dict[str, list[str]]:
    """Texts to be timed, by kind."""
    lines = [sample.text for sample in samples()]
    dense = ["\n".join(lines[i : i + LINES]) for i in range(0, len(lines), LINES)]
    talks = [json.dumps(repr(talk), ensure_ascii=False) for talk in conversations(CONVERSATIONS, 7)]
    return {"test set": dense, "conversations": talks}


def comparable(sample: Sample, found: list[Span]) -> tuple[Sample, list[Span]]:
    """The sample without its secrets, and without what was found in them or called one."""
    secret = [span for span in sample.spans if span.entity in SECRETS]
    rest = tuple(span for span in sample.spans if span.entity not in SECRETS)
    kept = [
        one
        for one in found
        if one.entity not in SECRETS
        and not any(one.start < span.end and span.start < one.end for span in secret)
    ]
    return Sample(sample.language, sample.text, rest, sample.held_out), kept


def without_overlaps(found: list[list[Any]], threshold: float) -> list[Span]:
    """Presidio's results at a threshold: of overlapping ones the surest, as its anonymiser does."""
    kept: list[Span] = []
    for start, end, entity, sure in sorted(found, key=lambda one: (-one[3], one[0] - one[1])):
        free = not any(start < span.end and span.start < end for span in kept)
        if sure >= threshold and entity and free:
            kept.append(Span(start, end, entity))
    return kept


def figures(counts: dict[str, Counts]) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 by entity and over all."""
    return {
        name: {"precision": round(c.precision, 3), "recall": round(c.recall, 3),
               "f1": round(c.f1, 3), "values": c.found + c.missed}
        for name, c in [*sorted(counts.items()), ("all", total(counts))]
    }  # fmt: skip


def scored(spans: Callable[[int, Sample], list[Span]], shared: bool) -> dict[str, Counts]:
    """Counts over the whole test set."""
    counts: dict[str, Counts] = {}
    for number, sample in enumerate(samples()):
        found = spans(number, sample)
        score(*(comparable(sample, found) if shared else (sample, found)), counts)
    return counts


def ours(_: int, sample: Sample) -> list[Span]:
    """What our detectors find."""
    return [Span(hit.start, hit.end, hit.entity.value) for hit in detect(sample.text)]


def seconds(make: Callable[[], Callable[[str], object]], texts: list[str]) -> float:
    """Processor seconds of the fastest of some rounds, each with a worker that has seen nothing."""
    rounds = []
    for _ in range(ROUNDS):
        work = make()
        start = time.process_time()
        for text in texts:
            work(text)
        rounds.append(time.process_time() - start)
    return min(rounds)


def fresh_redactor() -> Callable[[str], object]:
    """Redaction by a redactor that remembers no text yet."""
    redactor = Redactor(b"a key of the benchmark, 32 bytes")
    return lambda text: redactor.redact(text, "t", "aa", "p")


def speeds(texts: dict[str, list[str]], theirs: dict[str, dict[str, float]]) -> dict[str, Any]:
    """MB/s of each, and the ratio."""
    found: dict[str, Any] = {}
    for name, documents_ in texts.items():
        mb = sum(len(text.encode()) for text in documents_) / 1e6
        detecting = seconds(lambda: detect, documents_)
        redacting = seconds(fresh_redactor, documents_)
        found[name] = {
            "MB": round(mb, 3),
            "detect MB/s": round(mb / detecting, 2),
            "redact MB/s": round(mb / redacting, 2),
            "presidio patterns MB/s": round(mb / theirs[name]["patterns"], 3),
            "presidio engine MB/s": round(mb / theirs[name]["engine"], 3),
            "detect / presidio patterns": round(theirs[name]["patterns"] / detecting, 1),
            "detect / presidio engine": round(theirs[name]["engine"] / detecting, 1),
        }
    return found


def main() -> None:
    """Measure, print, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--presidio", required=True, help="python of its environment")
    arguments = parser.parse_args()
    texts = documents()
    work = json.dumps({"samples": [s.text for s in samples()], "documents": texts})
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [arguments.presidio, str(SCRIPT)], input=work, capture_output=True, text=True, check=True,
        env=environment,
    )  # fmt: skip
    theirs = json.loads(done.stdout)
    by_threshold = {
        step / 20: scored(lambda n, _, t=step / 20: without_overlaps(theirs["spans"][n], t), True)
        for step in range(20)
    }
    best = max(by_threshold, key=lambda threshold: total(by_threshold[threshold]).f1)
    result = {
        "presidio": theirs["version"], "presidio recognisers": theirs["recognisers"],
        "load average": os.getloadavg()[0],
        "shared entities": {"ours": figures(scored(ours, True)),
                            "presidio": figures(by_threshold[best]),
                            "presidio threshold": best},
        "ours, secrets too": figures(scored(ours, False)),
        "ours by half": {
            "tuned on": figures(_half(False))["all"], "held out": figures(_half(True))["all"],
        },
        "speed": speeds(texts, theirs["seconds"]),
    }  # fmt: skip
    RESULTS.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(result, indent=2, ensure_ascii=False))


def _half(held_out: bool) -> dict[str, Counts]:
    counts: dict[str, Counts] = {}
    for sample in samples():
        if sample.held_out is held_out:
            score(sample, ours(0, sample), counts)
    return counts


if __name__ == "__main__":
    main()
