"""The page of the commands says what the commands say."""

from stack.document import PAGE, page


def test_the_committed_page_is_the_generated_one() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m stack.document"


def test_every_command_and_option_has_a_help() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert [row for row in rows if row.endswith("|  |")] == []
    assert "## streamgauge models deploy\n" in page()
