"""``POST /v1/feedback`` and ``streamgauge label`` into the real engine, redacted, once."""

import asyncio
import gzip
import hashlib
import json
import secrets
import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from clickhouse_connect.driver.client import Client
from typer.testing import CliRunner

from ingest.gateway import Gateway
from processors.clickhouse import ClickHouseSink
from processors.runtime.clock import SystemClock
from processors.store.rows import operation_row
from schemas.config import ClickHouseConfig, Config, GatewayConfig, Quota, RuntimeConfig
from schemas.feedback import Feedback
from schemas.identity import text_hash
from schemas.protocols import RetryableError
from sql.client import connect
from sql.migrate import migrate
from stack.cli import app
from stack.clickhouse.process import ClickHouse
from stack.feedback import MAX_WAITING, FeedbackStore
from stack.ports import free_port
from tests.sql.records import call, operation
from tests.sql.test_views import put

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAID = {"trace_id": TRACE, "span_id": SPAN, "evaluator": "injection", "label": "incorrect"}
ACME, OTHER = "key-of-acme-0123456789", "key-of-other-012345678"
KEYS = "".join(
    f"- {{sha256: {hashlib.sha256(key.encode()).hexdigest()}, tenant: {tenant}}}\n"
    for key, tenant in ((ACME, "acme"), (OTHER, "other"))
)
REDACTION_KEY = secrets.token_hex(32)


@pytest.fixture(scope="module")
def database(clickhouse: ClickHouse) -> ClickHouseConfig:
    """A migrated database of this module's own."""
    config = ClickHouseConfig(
        url=clickhouse.url, token=clickhouse.token, database=f"feedback_{uuid.uuid4().hex[:8]}"
    )
    assert migrate(Config(clickhouse=config))
    return config


@pytest.fixture
def client(database: ClickHouseConfig) -> Client:
    """A client of it, with the table emptied."""
    client = connect(database)
    client.command("TRUNCATE TABLE genai_feedback")
    return client


@asynccontextmanager
async def serving(database: ClickHouseConfig, folder: Path) -> AsyncIterator[str]:
    """A gateway with two tenants' keys; the URL of the route. Feedback needs no broker."""
    (folder / "keys.yaml").write_text(KEYS)
    config = Config(
        clickhouse=database,
        gateway=GatewayConfig(
            http_port=0,
            grpc_port=None,
            api_keys_file=folder / "keys.yaml",
            tenant_quotas={"other": Quota(requests_per_s=2)},
        ),
        runtime=RuntimeConfig(metrics_base_port=0, data_dir=folder),
        privacy={"redaction_key": REDACTION_KEY},  # type: ignore[arg-type]
    )
    gateway = Gateway(config, FeedbackStore(config, "api"))
    await gateway.start()
    try:
        yield f"http://127.0.0.1:{gateway.http_port}/v1/feedback"
    finally:
        await gateway.stop()


async def post(
    url: str, body: Any, key: str = ACME, extra: dict[str, str] | None = None
) -> tuple[int, Any]:
    """(status, answer); a body that is no bytes is sent as JSON."""
    headers = {"Content-Type": "application/json", **(extra or {})}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    sent = {"data": body} if isinstance(body, bytes) else {"json": body}
    async with (
        ClientSession(headers=headers) as session,
        session.post(url, **sent) as response,  # type: ignore[arg-type]
    ):
        return response.status, await response.json()


def stored(client: Client) -> list[tuple[Any, ...]]:
    """What the view says."""
    return list(
        client.query(
            "SELECT tenant, target, trace_id, evaluator, label, value, source "
            "FROM v_feedback ORDER BY tenant, evaluator, label"
        ).result_rows
    )


async def test_a_label_is_stored_under_the_keys_tenant_and_replaced(
    database: ClickHouseConfig, client: Client, tmp_path: Path
) -> None:
    async with serving(database, tmp_path) as url:
        assert await post(url, {**SAID, "value": 1}) == (200, {"accepted": 1})
        assert await post(url, {**SAID, "label": "correct"}) == (200, {"accepted": 1})
        good = {"response_id": "resp-1", "label": "good", "value": 5}
        assert (await post(url, [SAID, good], key=OTHER))[0] == 200
    assert stored(client) == [
        ("acme", "evaluation", TRACE, "injection", "correct", None, "api"),
        ("other", "operation", "", "", "good", 5.0, "api"),
        ("other", "evaluation", TRACE, "injection", "incorrect", None, "api"),
    ]


async def test_comments_are_redacted(
    database: ClickHouseConfig, client: Client, tmp_path: Path
) -> None:
    async with serving(database, tmp_path) as url:
        said = {**SAID, "comment": "ann@example.com wrote this", "author": "bob@example.com"}
        assert (await post(url, said))[0] == 200
    ((comment, author),) = client.query("SELECT comment, author FROM genai_feedback").result_rows
    assert comment.startswith("<EMAIL_")
    assert comment.endswith(" wrote this")
    assert "bob" not in author


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not JSON"),
        ([], "1 to"),
        ({"label": "good"}, "is needed"),
        ({**SAID, "label": "Not a word"}, "feedback[0].label"),
        ([SAID, {**SAID, "trace_id": "xyz"}], "feedback[1].trace_id"),
        ({**SAID, "span_id": ""}, "belong together"),
        ({**SAID, "my secret words": 1}, "unknown field"),
        ({**SAID, "comment": "x" * 4001}, "feedback[0].comment"),
        ({**SAID, "created_at": "yesterday"}, "feedback[0].created_at"),
        ({**SAID, "created_at": "9999-01-01T00:00:00Z"}, "feedback[0].created_at: must be"),
        ({**SAID, "created_at": "0001-01-01T00:00:00+14:00"}, "feedback[0].created_at: must be"),
        ("text", "feedback[0]"),
    ],
)
async def test_bad_labels_name_the_field(
    database: ClickHouseConfig, tmp_path: Path, body: Any, said: str
) -> None:
    async with serving(database, tmp_path) as url:
        status, answer = await post(url, body)
    assert status == 400
    assert said in answer["message"]
    assert "secret words" not in answer["message"]
    assert "Value error" not in answer["message"]


async def test_wrong_keys_methods_and_sizes(database: ClickHouseConfig, tmp_path: Path) -> None:
    async with serving(database, tmp_path) as url:
        assert (await post(url, SAID, key="wrong-key-0123456789"))[0] == 401
        assert (await post(url, SAID, key=""))[0] == 401
        assert (await post(url, b"x" * (1 << 20) + b"x"))[0] == 413
        async with ClientSession() as session, session.get(url) as response:
            assert (response.status, response.headers["Allow"]) == (405, "POST")


async def test_only_plain_json_is_taken(database: ClickHouseConfig, tmp_path: Path) -> None:
    """A web page may post text or forms to its visitor's machine, but no JSON."""
    async with serving(database, tmp_path) as url:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            status, answer = await post(url, b"{}", extra={"Content-Type": kind})
            assert (status, "application/json" in answer["message"]) == (415, True), kind
        packed = gzip.compress(json.dumps(SAID).encode())
        status, answer = await post(url, packed, extra={"Content-Encoding": "gzip"})
        assert (status, "compressed" in answer["message"]) == (415, True)


async def test_quotas_hold(database: ClickHouseConfig, tmp_path: Path) -> None:
    async with serving(database, tmp_path) as url:
        answers = await asyncio.gather(*(post(url, b"{", key=OTHER) for _ in range(9)))
        assert {status for status, _ in answers} == {400, 429}
        assert (await post(url, b"{"))[0] == 400


async def test_an_insert_that_hangs_holds_one_thread_and_few_requests(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever waits too long is told to come again; no second insert begins meanwhile."""
    monkeypatch.setattr("stack.feedback.TIMEOUT_S", 1)
    accepted = []

    def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = Config(
        clickhouse=ClickHouseConfig(url=f"http://127.0.0.1:{port}"),
        privacy={"redaction_key": REDACTION_KEY},  # type: ignore[arg-type]
    )
    before = set(threading.enumerate())
    store = FeedbackStore(config, "api")
    said = [Feedback.model_validate(SAID)]
    told = await asyncio.gather(
        *(store.take("acme", said) for _ in range(MAX_WAITING + 5)), return_exceptions=True
    )
    assert {type(one) for one in told} == {RetryableError}
    assert sum("too many" in str(one) for one in told) == 5
    assert len(accepted) <= 3, "not one a request"
    began = set(threading.enumerate()) - before
    assert sum(thread.name.startswith("feedback") for thread in began) == 1
    for writer in accepted:
        writer.close()
    server.close()


async def test_a_conversation_is_a_target_of_its_own(
    database: ClickHouseConfig, client: Client, tmp_path: Path
) -> None:
    said = {"conversation_id": "c-1", "label": "good"}
    async with serving(database, tmp_path) as url:
        assert (await post(url, said))[0] == 200
    rows = client.query("SELECT target, conversation_id, found FROM v_feedback").result_rows
    assert list(rows) == [("conversation", "c-1", False)]
    sink = ClickHouseSink(Config(clickhouse=database), SystemClock())
    told = operation(1, 1, tenant="acme", call=call(conversation_id="c-1"))
    await put(sink, "genai_operations", operation_row(told))
    await sink.close()
    rows = client.query("SELECT target, service_name, found FROM v_feedback").result_rows
    assert list(rows) == [("conversation", "shop", True)]
    client.command("TRUNCATE TABLE genai_operations")


def test_ids_of_conversations_labels_stay() -> None:
    """A label stored before conversations were targets is still replaced when said again."""
    one = Feedback(label="good", conversation_id="c-1")
    ids = ("t", "operation", "", "", "", "c-1", "", "", "")
    assert (one.target, one.identity("t")) == ("conversation", text_hash(*ids))


async def test_without_clickhouse_the_sender_is_told_to_come_again(tmp_path: Path) -> None:
    away = ClickHouseConfig(url=f"http://127.0.0.1:{free_port()}")
    async with serving(away, tmp_path) as url:
        headers = {"Authorization": f"Bearer {ACME}"}
        async with (
            ClientSession(headers=headers) as session,
            session.post(url, json=SAID) as response,
        ):
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0


def test_the_command_labels(
    database: ClickHouseConfig, client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (
        ("CLICKHOUSE__URL", database.url),
        ("CLICKHOUSE__TOKEN", database.token.get_secret_value()),
        ("CLICKHOUSE__DATABASE", database.database),
        ("PRIVACY__REDACTION_KEY", REDACTION_KEY),
    ):
        monkeypatch.setenv(f"STREAMGAUGE_{name}", value)
    call = ["--trace", TRACE.upper(), "--span", SPAN]
    told = CliRunner().invoke(app, ["label", "correct", *call, "--evaluator", "toxicity"])
    assert (told.exit_code, "evaluation labelled correct" in told.output) == (0, True)
    assert "no such call of tenant default is stored (yet); the label is kept" in told.output
    unknown = CliRunner().invoke(app, ["label", "correct", *call, "--evaluator", "toxicty"])
    assert (unknown.exit_code, "one of injection" in unknown.output) == (1, True)
    wrong = CliRunner().invoke(app, ["label", "Very Wrong", *call])
    assert (wrong.exit_code, "label:" in wrong.output) == (1, True)
    nothing = CliRunner().invoke(app, ["label", "good"])
    assert (nothing.exit_code, "is needed" in nothing.output) == (1, True)
    assert not any("Value error" in one.output for one in (wrong, nothing))
    assert stored(client) == [("default", "evaluation", TRACE, "toxicity", "correct", None, "cli")]
