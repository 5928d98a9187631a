"""The test set of the redactor: texts, and what must be found in them.

``corpus.txt`` holds it; written before the detectors were tuned on it. Credentials are made here
from a fixed seed, so that no file holds what looks like a real one. Half of the texts (by a hash)
are held out: figures are stated for both halves.
"""

import base64
import json
import random
import re
import string
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("corpus.txt")
_MARK = re.compile(r"⟦([A-Z_]+):(.*?)⟧", re.DOTALL)
_ALNUM = string.ascii_letters + string.digits
_URL_SAFE = _ALNUM + "-_"


@dataclass(frozen=True, slots=True)
class Span:
    """Characters ``start`` to ``end`` hold a value of this entity."""

    start: int
    end: int
    entity: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One text with everything that must be found in it."""

    language: str
    text: str
    spans: tuple[Span, ...]
    held_out: bool


def _some(rng: random.Random, alphabet: str, size: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(size))


def _jwt(rng: random.Random) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    head, body = part({"alg": "HS256", "typ": "JWT"}), part({"sub": "u1", "iat": 1718035200})
    return f"{head}.{body}.{_some(rng, _URL_SAFE, 43)}"


def _pem(rng: random.Random, line: str) -> str:
    body = line.join(_some(rng, _ALNUM + "+/", 64) for _ in range(3))
    return f"-----BEGIN PRIVATE KEY-----{line}{body}{line}-----END PRIVATE KEY-----"


_HEX = "0123456789abcdef"
_UPPER = string.ascii_uppercase + string.digits
MADE: dict[str, Callable[[random.Random], str]] = {
    "openai": lambda r: f"sk-{_some(r, _ALNUM, 20)}T3BlbkFJ{_some(r, _ALNUM, 20)}",
    "openai_project": lambda r: f"sk-proj-{_some(r, _URL_SAFE, 74)}A7",
    "anthropic": lambda r: f"sk-ant-api03-{_some(r, _URL_SAFE, 93)}AA",
    "aws_id": lambda r: "AKIA" + _some(r, string.ascii_uppercase + "234567", 15) + "7",
    "aws_secret": lambda r: _some(r, _ALNUM + "/+", 40),
    "google": lambda r: "AIza" + _some(r, _URL_SAFE, 35),
    "google_client": lambda r: "GOCSPX-" + _some(r, _URL_SAFE, 28),
    "azure_storage": lambda r: base64.b64encode(r.randbytes(64)).decode(),
    "azure_client": lambda r: f"{_some(r, _ALNUM, 3)}8Q~{_some(r, _ALNUM + '_~.-', 33)}a",
    "github": lambda r: "ghp_" + _some(r, _ALNUM, 36),
    "github_fine": lambda r: f"github_pat_{_some(r, _ALNUM, 22)}_{_some(r, _ALNUM, 59)}",
    "gitlab": lambda r: "glpat-" + _some(r, _URL_SAFE, 19) + "7",
    "slack": lambda r: f"xoxb-{_some(r, string.digits, 12)}-{_some(r, _ALNUM, 24)}",
    "slack_hook": lambda r: f"T{_some(r, _UPPER, 9)}/B{_some(r, _UPPER, 9)}/{_some(r, _ALNUM, 24)}",
    "stripe": lambda r: "sk_live_" + _some(r, _ALNUM, 24),
    "hugging_face": lambda r: "hf_" + _some(r, string.ascii_letters, 34),
    "twilio": lambda r: "SK" + _some(r, _HEX, 32),
    "sendgrid": lambda r: f"SG.{_some(r, _URL_SAFE, 22)}.{_some(r, _URL_SAFE, 43)}",
    "npm": lambda r: "npm_" + _some(r, _ALNUM, 36),
    "pypi": lambda r: "pypi-AgEIcHlwaS5vcmc" + _some(r, _URL_SAFE, 120),
    "groq": lambda r: "gsk_" + _some(r, _ALNUM, 52),
    "langsmith": lambda r: f"lsv2_pt_{_some(r, _HEX, 32)}_{_some(r, _HEX, 10)}",
    "opaque": lambda r: _some(r, _URL_SAFE, 47) + "7",
    "basic": lambda r: base64.b64encode(b"admin:" + _some(r, _ALNUM, 14).encode()).decode(),
    "jwt": _jwt,
    "pem": lambda r: _pem(r, "\n"),
    "pem_escaped": lambda r: _pem(r, "\\n"),
    "random_base64": lambda r: base64.b64encode(r.randbytes(33)).decode(),
    "random_mixed": lambda r: _some(r, _ALNUM, 40),
    "random_url": lambda r: _some(r, _URL_SAFE, 43),
}
"""Credentials of providers, by shape as their documentation gives it."""


def made(name: str, seed: int = 1) -> str:
    """A made-up credential: equal name and seed give the same one."""
    return MADE[name](random.Random(f"{name}/{seed}"))


def _sample(number: int, line: str) -> Sample:
    language, _, marked = line.partition("\t")
    marked = re.sub(r"(?<!\\)\\n", "\n", marked).replace("\\\\", "\\")
    text, spans, read = "", [], 0
    for match in _MARK.finditer(marked):
        text += marked[read : match.start()]
        value = made(match[2][1:], number) if match[2].startswith("@") else match[2]
        spans.append(Span(len(text), len(text) + len(value), match[1]))
        text, read = text + value, match.end()
    held_out = zlib.crc32(line.encode()) % 2 == 1
    return Sample(language, text + marked[read:], tuple(spans), held_out)


def samples() -> list[Sample]:
    """All texts of the test set."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    return [_sample(n, line) for n, line in enumerate(lines) if line and not line.startswith("#")]


# --- scoring -------------------------------------------------------------------------------------

SECRETS = frozenset(("API_KEY", "PASSWORD", "JWT", "PRIVATE_KEY", "HIGH_ENTROPY"))
"""Which of these a secret is called does not matter: all are masked alike."""


@dataclass(slots=True)
class Counts:
    """True and false positives, and misses."""

    found: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float:
        """Share of what was found that is right."""
        return self.found / max(1, self.found + self.wrong)

    @property
    def recall(self) -> float:
        """Share of what is there that was found."""
        return self.found / max(1, self.found + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def _class(entity: str) -> str:
    return "SECRET" if entity in SECRETS else entity


def _covers(found: Span, wanted: Span) -> bool:
    """At most two characters at either end may be left out (a sign, a bracket)."""
    return found.start <= wanted.start + 2 and found.end >= wanted.end - 2


def score(sample: Sample, found: list[Span], counts: dict[str, Counts]) -> list[str]:
    """Add one text's result; what was wrong or missed, for a reader."""
    mistakes = []
    left = list(found)
    for wanted in sample.spans:
        kind = _class(wanted.entity)
        match = next((f for f in left if _class(f.entity) == kind and _covers(f, wanted)), None)
        tally = counts.setdefault(kind, Counts())
        if match is None:
            tally.missed += 1
            mistakes.append(f"missed {kind} {sample.text[wanted.start : wanted.end]!r}")
        else:
            tally.found += 1
            left.remove(match)
    for extra in left:
        counts.setdefault(_class(extra.entity), Counts()).wrong += 1
        mistakes.append(f"wrong {extra.entity} {sample.text[extra.start : extra.end]!r}")
    return [f"{mistake} in {sample.text[:90]!r}" for mistake in mistakes]


def total(counts: dict[str, Counts]) -> Counts:
    """The sum over all entities."""
    return Counts(
        sum(c.found for c in counts.values()),
        sum(c.wrong for c in counts.values()),
        sum(c.missed for c in counts.values()),
    )
