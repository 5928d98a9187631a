"""``streamgauge replay`` on the real broker, with the stages that read what it sends."""

from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from processors.operations import stage as operations_stage
from schemas.config import Config
from schemas.dead_letters import CUT_HEADER, decode_headers, encode_headers
from schemas.protocols import DeadLetter, Message
from schemas.topics import (
    ATTEMPTS_HEADER,
    DEAD_LETTERS,
    FRAGMENTS,
    OPERATIONS,
    OTLP_LOGS_GATEWAY,
    OTLP_SPANS,
    OTLP_SPANS_GATEWAY,
    TENANT_HEADER,
    TIMESTAMP_HEADER,
)
from sql.client import connect
from tests.evaluate.samples import TINY
from tests.stack.line import chat, command, export, messages, produce, settled, stages

LINE = ("traces", "operations", "assemble", "evaluate", "store")
ACME = ((TENANT_HEADER, b"acme"),)
VISIBLE = {
    "otel_traces": "SELECT * FROM otel_traces ORDER BY ALL",
    "v_calls": "SELECT * EXCEPT (inserted_at) FROM v_calls ORDER BY tenant, trace_id, span_id",
    "v_verdicts": "SELECT tenant, trace_id, span_id, evaluator, model_version, target, day, state, "
    "reason, score, label, input_hash FROM v_verdicts ORDER BY ALL",
    "v_content": "SELECT * EXCEPT (inserted_at) FROM v_content ORDER BY ALL",
}


@pytest.fixture(scope="module")
def config(line_config: Config) -> Config:
    """With a small model, so that evaluate starts quickly."""
    return line_config.model_copy(update={"evaluate": TINY})


@pytest.fixture(scope="module")
def client(config: Config) -> Client:
    """Of the module's database."""
    return connect(config.clickhouse)


def visible(client: Client) -> dict[str, list[tuple[Any, ...]]]:
    """What analysts see, without the times at which rows came."""
    return {name: list(client.query(sql).result_rows) for name, sql in VISIBLE.items()}


async def letters(config: Config) -> list[Message]:
    """Everything on the dead letters' topic, oldest first."""
    found = await messages(config, DEAD_LETTERS.name)
    return sorted(found, key=lambda message: message.timestamp_ms)


async def test_a_replay_of_what_is_stored_changes_nothing(config: Config, client: Client) -> None:
    async with stages(config, *LINE):
        await produce(
            config,
            OTLP_SPANS.name,
            export(chat(1), chat(2)),
            headers=(*ACME, ("origin", b"vm")),
            key=b"k",
        )
        await produce(config, OTLP_SPANS_GATEWAY.name, export(chat(3)), headers=ACME)
        await settled(config, *LINE)
        before = visible(client)
        assert {len(before["otel_traces"]), len(before["v_calls"])} == {3}
        assert len(before["v_verdicts"]) >= 3
        for topic, sent in ((OTLP_SPANS, 1), (OTLP_SPANS_GATEWAY, 1)):
            status, said = await command(
                config, "replay", "--topic", topic.name, "--from", "1h", "--dry-run"
            )
            assert (status, f"{sent} message would be sent" in said) == (0, True), said
            assert len(await messages(config, topic.name)) == 1
            status, said = await command(config, "replay", "--topic", topic.name, "--from", "1h")
            assert (status, f"{sent} message sent" in said) == (0, True), said
        await settled(config, *LINE)
        assert visible(client) == before
    books = client.query("SELECT sum(n), sum(unbalanced) FROM v_ledger").result_rows
    assert list(books) == [(8, 0)], "two messages and two copies, seen by two stages"


async def test_a_copy_keeps_bytes_key_tenant_and_time(config: Config) -> None:
    first, copy = await messages(config, OTLP_SPANS.name)
    assert (copy.value, copy.key, copy.partition) == (first.value, b"k", first.partition)
    assert copy.headers == (
        ("origin", b"vm"),
        (TIMESTAMP_HEADER, str(first.timestamp_ms).encode()),
        (ATTEMPTS_HEADER, b"0"),
    ), "a tenant that an open topic's sender names is not handed on"
    first, copy = await messages(config, OTLP_SPANS_GATEWAY.name)
    assert copy.header(TENANT_HEADER) == "acme"
    assert copy.first_timestamp_ms() == first.timestamp_ms
    status, said = await command(config, "replay", "--topic", OTLP_SPANS.name, "--from", "1h",
                                 "--dry-run")  # fmt: skip
    assert (status, "1 message of earlier replays were left out" in said) == (0, True), said


async def test_what_was_mended_comes_to_the_tables(
    config: Config, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_item = operations_stage.read_item

    def broken(*told: Any) -> Any:
        if told[0][2].trace_id.hex().endswith("0b"):
            raise KeyError("a bug")
        return read_item(*told)

    monkeypatch.setattr(operations_stage, "read_item", broken)
    sql = (
        "SELECT tenant, service_name FROM v_calls WHERE trace_id LIKE '%0a' OR trace_id LIKE '%0b'"
    )
    async with stages(config, *LINE):
        value = export(chat(10), chat(11), service="mended")
        await produce(config, OTLP_SPANS_GATEWAY.name, value, headers=ACME)
        await settled(config, *LINE)
        assert list(client.query(sql).result_rows) == [("acme", "mended")]
        (letter,) = await letters(config)
        assert (decode_headers(letter).reason, decode_headers(letter).attempts) == (
            "normalize_failed", 1,
        )  # fmt: skip
        for arguments in (["--dry-run"], ["--tenant", "other"], ["--stage", "store"]):
            status, said = await command(config, "replay", *arguments)
            assert status == 0
            assert ("1 message would be sent" if "--dry-run" in arguments else "0 messages") in said
        assert len(await messages(config, OTLP_SPANS_GATEWAY.name)) == 3

        status, said = await command(config, "replay", "--tenant", "acme")
        assert (status, "1 message sent" in said) == (0, True), said
        await settled(config, *LINE)
        again = (await letters(config))[-1]
        assert decode_headers(again).attempts == 2, "it failed again"
        assert again.first_timestamp_ms() == letter.first_timestamp_ms()

        monkeypatch.undo()
        status, said = await command(config, "replay", "--reason", "normalize_failed")
        assert (status, "1 letter of the same bytes" in said) == (0, True), said
        await settled(config, *LINE)
        assert list(client.query(sql).result_rows) == [("acme", "mended")] * 2
        assert len(await letters(config)) == 2, "nothing died this time"


async def test_a_derived_topics_letter_goes_to_its_topic_and_partition(config: Config) -> None:
    async with stages(config, "evaluate"):
        await produce(config, OPERATIONS.name, b"no batch", partition=1)
        await settled(config, "evaluate")
    status, said = await command(config, "replay", "--topic", OPERATIONS.name)
    assert (status, "1 message sent" in said) == (0, True), said
    copy = (await messages(config, OPERATIONS.name))[-1]
    assert (copy.value, copy.partition, copy.header(ATTEMPTS_HEADER)) == (b"no batch", 1, "1")


async def test_a_part_is_replayed_with_its_whole_message(config: Config) -> None:
    bad = chat(20)
    bad.span_id = b""
    value = export(chat(21), bad, service="part")
    async with stages(config, "operations"):
        await produce(config, OTLP_SPANS.name, value, partition=1)
        await settled(config, "operations")
    status, said = await command(config, "replay", "--reason", "invalid_span_id")
    assert (status, "1 message sent" in said) == (0, True), said
    copy = (await messages(config, OTLP_SPANS.name))[-1]
    assert (copy.value, copy.partition) == (value, 1)


async def test_what_cannot_be_replayed_is_said(config: Config) -> None:
    def gone(**fields: Any) -> DeadLetter:
        origin = Message(FRAGMENTS.name, 0, 10**6, 1, None, b"x" * 20)
        letter = {"stage": "store", "reason": "gone", "error_class": "E", "tenant": "t"}
        return DeadLetter(**{"origin": origin, "value": b"xxx", **letter, **fields})

    cut = (*encode_headers(gone()), (CUT_HEADER, b"20"))
    far = Message(FRAGMENTS.name, 1, 10**6, 1, None, b"x")
    elsewhere = Message("someone_elses", 0, 0, 1, None, b"x")
    moved = Message(FRAGMENTS.name, 77, 0, 1, None, b"x")
    for headers in (
        cut,
        tuple(encode_headers(gone(error_class="RejectedItem", origin=far))),
        tuple(encode_headers(gone(origin=elsewhere))),
        tuple(encode_headers(gone(origin=moved))),
    ):
        await produce(config, DEAD_LETTERS.name, b"xxx", headers=tuple(headers))
    for value in (b"1", b"2"):
        sendable = encode_headers(gone(reason="fine", value=value))
        await produce(config, DEAD_LETTERS.name, value, headers=tuple(sendable))
    await produce(config, DEAD_LETTERS.name, b"not ours")
    status, said = await command(config, "replay", "--reason", "gone")
    said = said.replace("\n", "")
    assert status == 1
    for why in (
        "bytes were cut, and the whole has expired",
        "it is a part, and the whole has expired",
        "its topic someone_elses does not exist",
        "its partition does not exist",
        "0 messages sent",
    ):
        assert why in said
    assert "not written by us" not in said, "a filter does not ask for it"
    status, said = await command(config, "replay", "--dry-run", "--limit", "1")
    assert (status, "not written by us" in said, "more than --limit 1" in said) == (1, True, True)
    assert "1 message would be sent" in said


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--from", "1h"], 1, "--from goes with --topic"),
        (["--from", "1h", "--topic", OPERATIONS.name], 1, OTLP_LOGS_GATEWAY.name),
        (["--from", "1h", "--topic", OTLP_SPANS.name, "--reason", "x"], 1, "--from goes"),
        (["--to", "1h"], 1, "--to belongs to --from"),
        (["--since", "yesterday"], 1, "--since yesterday"),
    ],
)
async def test_a_wrong_call_names_the_option(
    config: Config, arguments: list[str], status: int, said: str
) -> None:
    found, output = await command(config, "replay", *arguments)
    assert (found, said in output.replace("\n", "")) == (status, True), output


async def test_an_absent_broker_is_exit_2(config: Config) -> None:
    away = config.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:9"})
    status, said = await command(config.model_copy(update={"kafka": away}), "replay", "--dry-run")
    assert (status, "replay: KafkaConnectionError" in said) == (2, True), said
