"""What a call costs us beyond the models: its price, the checks by rules, their rows.

``python -m bench.rules`` takes the sample application's conversations. It times our pricing against
the library's own (in turn, same calls), each check by itself, and stores the checks' rows in an
embedded ClickHouse of its own for their size.
"""

import secrets
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import genai_prices
import orjson

from processors.evaluate.checks.registry import CHECKS
from processors.evaluate.checks.run import Checks
from processors.evaluate.checks.subject import Subject
from processors.evaluate.context import prepare
from processors.prices.table import BUNDLED
from processors.store.rows import evaluation_row
from schemas.config import ClickHouseConfig, Config
from schemas.evaluators import CHECK_EVALUATORS, Evaluator, State
from schemas.identity import evaluation_revision, span_day
from schemas.intervals import load_intervals
from schemas.records import (
    Call,
    Content,
    Evaluation,
    Message,
    Operation,
    Part,
    Usage,
    encode_record,
)
from sql.client import connect
from sql.migrate import migrate
from sql.tables import table
from stack.clickhouse.process import ClickHouse
from stack.demo.conversations import conversations
from stack.ports import free_port

RESULTS = Path(__file__).parent / "results" / "rules.json"
CONVERSATIONS = 300
PAIRS = 5
PRICED = 500
STORED_COPIES = 40
LIMIT_CHARS = 64_000
NOW_NS = time.time_ns()
DAY = span_day(NOW_NS, NOW_NS // 1_000_000)


@dataclass(frozen=True, slots=True)
class Figures:
    """Times are medians over trials."""

    price_us: float
    library_price_us: float
    library_over_ours: float
    check_us: dict[str, float]
    all_checks_us: float
    rows_per_call: float
    bytes_per_row_stored: float
    bytes_per_row_sent: float


def operations() -> list[Operation]:
    """Every exchange of the conversations as a chat call."""
    found = []
    for talk in conversations(CONVERSATIONS):
        for turn in talk.turns:
            number = len(found)
            usage = Usage(input_tokens=400, output_tokens=len(turn.assistant) // 4)
            call = Call(
                dialect="bench", kind="chat", start_ns=NOW_NS, end_ns=NOW_NS + 1_500_000_000,
                usage=usage, finish_reasons=("stop",), content_state="captured",
                response_model="gpt-4o", provider="openai", service_name=talk.service,
            )  # fmt: skip
            content = Content(
                system=(Part(type="text", text=talk.system),),
                input=(_said("user", turn.user),), output=(_said("assistant", turn.assistant),),
            )  # fmt: skip
            found.append(
                Operation(
                    tenant="bench", trace_id=f"{number:032x}", span_id=f"{number:016x}", day=DAY,
                    revision=1, fragments=("aa",), call=call, content=content,
                )
            )  # fmt: skip
    return found


def _said(role: str, text: str) -> Message:
    return Message(role=role, parts=(Part(type="text", text=text),))


def _us(work: Callable[[], object], calls: int) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) / calls * 1e6


def prices(calls: list[Operation]) -> tuple[float, float, float]:
    """Ours, the library's, and their ratio over pairs of trials."""
    time_ = datetime.fromtimestamp(NOW_NS / 1e9, UTC)

    def ours() -> None:
        for operation in calls:
            call = operation.call
            models = (call.response_model, call.request_model)
            BUNDLED.of_usage(call.usage, call.provider, models, call.service_tier, NOW_NS)

    def theirs() -> None:
        for operation in calls:
            usage = operation.call.usage
            counts = genai_prices.Usage(
                input_tokens=usage.input_tokens, output_tokens=usage.output_tokens
            )
            genai_prices.calc_price(
                counts, "gpt-4o", provider_id="openai", genai_request_timestamp=time_
            )

    ours(), theirs()
    pairs = [(_us(ours, len(calls)), _us(theirs, len(calls))) for _ in range(PAIRS)]
    ratio = statistics.median(theirs_us / ours_us for ours_us, theirs_us in pairs)
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs), ratio


def checks(calls: list[Operation]) -> dict[str, float]:
    """Microseconds a call of each check, the texts' preparation apart."""
    prepared = [prepare(operation, LIMIT_CHARS, 16) for operation in calls]

    def run(evaluator: Evaluator) -> Callable[[], None]:
        check = CHECKS[evaluator]

        def work() -> None:
            for operation, ready in zip(calls, prepared, strict=True):
                check.measure(Subject(operation, ready, LIMIT_CHARS))

        return work

    times: dict[str, float] = {}
    for evaluator in CHECK_EVALUATORS:
        work = run(evaluator)
        work()
        times[str(evaluator)] = statistics.median(_us(work, len(calls)) for _ in range(PAIRS))
    return times


def rows(calls: list[Operation]) -> list[Evaluation]:
    """The checks' rows as the stage writes them."""
    judge = Checks(load_intervals())
    found = []
    for operation in calls:
        ready = prepare(operation, LIMIT_CHARS, 16)
        told = judge.verdicts(operation, ready, CHECK_EVALUATORS, LIMIT_CHARS)
        found += [
            Evaluation(
                tenant="bench", trace_id=operation.trace_id, span_id=operation.span_id,
                evaluator=evaluator, model_version=CHECKS[evaluator].version, target=v.target,
                revision=evaluation_revision(State.OK, 1, NOW_NS), day=DAY, state=v.state,
                score=v.score, label=v.label, explanation=v.explanation, measured=v.measured,
                threshold_version=judge.intervals.of(evaluator).version, input_hash=v.input_hash,
                evaluator_model="checks", cascade_stage="rules", windows=1, latency_ns=500_000,
                scored_at_ns=NOW_NS, span_end_ns=operation.call.end_ns, kind="chat",
                service_name=operation.call.service_name, model="gpt-4o",
            )
            for evaluator, verdicts in told.items()
            for v in verdicts
        ]  # fmt: skip
    return found


def stored_bytes(told: list[Evaluation]) -> float:
    """Bytes a row on disk, merged."""
    with tempfile.TemporaryDirectory() as folder:
        server = ClickHouse(Path(folder), free_port(), secrets.token_hex(16))
        server.start()
        try:
            settings = ClickHouseConfig(url=server.url, token=server.token, database="bench")
            migrate(Config(clickhouse=settings))
            client = connect(settings)
            columns = table("genai_evaluations").columns
            for copy in range(STORED_COPIES):
                made = [
                    evaluation_row(
                        row.model_copy(update={"trace_id": secrets.token_hex(16), "windows": copy})
                    )
                    for row in told
                ]
                client.insert("genai_evaluations", made, column_names=columns)
            client.command("OPTIMIZE TABLE genai_evaluations FINAL")
            ((size, count),) = client.query(
                "SELECT sum(bytes_on_disk), sum(rows) FROM system.parts WHERE active "
                "AND database = currentDatabase() AND table = 'genai_evaluations'"
            ).result_rows
            return float(size) / float(count)
        finally:
            server.stop()


def main() -> None:
    """Measure, print, write the result."""
    calls = operations()
    ours, theirs, ratio = prices(calls[:PRICED])
    times = checks(calls)
    told = rows(calls)
    figures = Figures(
        price_us=round(ours, 1),
        library_price_us=round(theirs, 1),
        library_over_ours=round(ratio, 1),
        check_us={name: round(us, 1) for name, us in times.items()},
        all_checks_us=round(sum(times.values()), 1),
        rows_per_call=round(len(told) / len(calls), 2),
        bytes_per_row_stored=round(stored_bytes(told), 1),
        bytes_per_row_sent=round(statistics.mean(len(encode_record(row)) for row in told), 1),
    )
    text = orjson.dumps(asdict(figures), option=orjson.OPT_INDENT_2).decode()
    print(text)
    RESULTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
