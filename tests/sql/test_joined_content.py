"""Content in the views is the content that was judged, of every capture with its log records."""

from clickhouse_connect.driver.client import Client

from processors.clickhouse import ClickHouseSink
from processors.store.rows import content_row, joined_content_row, operation_row
from schemas.records import Fragment, Operation
from schemas.topics import OPERATIONS
from tests.assemble.test_stage import Bench, newest
from tests.operations import captures


async def emitted(fragments: list[Fragment]) -> tuple[list[Operation], dict[str, Operation]]:
    """Every operation that the stage emits, a message a fragment, and the newest of each span."""
    bench = Bench()
    tasks = [bench.send(fragment) for fragment in fragments]
    await bench.clock.advance(30)
    for task in tasks:
        await task
    found = [o for o in bench.outputs.records(OPERATIONS.name) if isinstance(o, Operation)]
    return found, newest(bench.outputs)


async def test_views_show_what_was_judged(client: Client, sink: ClickHouseSink) -> None:
    contents: list[object] = []
    operations: list[object] = []
    expected: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for name in captures.names():
        spans = captures.fragments(name)[0]
        logs = captures.log_fragments(name)[0] if name in captures.logged_names() else []
        fragments = [*logs[::2], *spans, *logs[1::2], *spans[:1]]
        every, last = await emitted(fragments)
        contents += [row for fragment in fragments if (row := content_row(fragment))]
        contents += [row for operation in every if (row := joined_content_row(operation))]
        operations += map(operation_row, every)
        for operation in last.values():
            if not operation.duplicate_of and operation.content.parts():
                key = (operation.trace_id, operation.span_id)
                expected[key] = list(operation.content.parts())
    assert len(expected) > 100
    await sink.insert("genai_content", contents)  # type: ignore[arg-type]
    await sink.insert("genai_operations", operations)  # type: ignore[arg-type]
    rows = client.query("SELECT trace_id, span_id, part_path, part_text FROM v_content").result_rows
    found = {
        (trace, span): list(zip(paths, texts, strict=True)) for trace, span, paths, texts in rows
    }
    different = {key for key, parts in expected.items() if found.get(key) != parts}
    assert not different
