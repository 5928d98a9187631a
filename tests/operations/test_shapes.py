"""What is found out once for all spans with the same keys, and texts that are looked at once."""

from processors.operations.redact import PLAIN_KEPT, Redactor
from processors.operations.shapes import KEYS_MAX, KEYS_MAX_CHARS, shape_of
from tests.operations.captures import KEY
from tests.operations.spans import call_of, chat, read


def test_spans_with_the_same_keys_share_a_shape() -> None:
    assert shape_of(["a", "b"]) is shape_of(["a", "b"])
    assert shape_of(["a", "b"]) is not shape_of(["b", "a"])


def test_odd_keys_are_not_kept() -> None:
    many = [f"key {n}" for n in range(KEYS_MAX + 1)]
    assert shape_of(many) is not shape_of(many)
    long = ["k" * (KEYS_MAX_CHARS + 1)]
    assert shape_of(long) is not shape_of(long)
    assert shape_of(many).has_prefix(("key 7",))


def test_the_keys_are_asked_once_for_each_question() -> None:
    shape = shape_of(["llm.prompts.0.a.b", "llm.prompts.1.a", "llm.prompts.x", "llm.prompts.2"])
    asked: list[tuple[str, ...]] = []

    def number(keys: tuple[str, ...]) -> int:
        asked.append(keys)
        return len(keys)

    assert [shape.once(number, number) for _ in range(3)] == [4, 4, 4]
    assert asked == [shape.keys]
    assert shape.indexed("llm.prompts.") == (
        ("llm.prompts.0.a.b", 0, ("a", "b")),
        ("llm.prompts.1.a", 1, ("a",)),
    )


def test_the_same_keys_with_other_values_are_read_apart() -> None:
    first = call_of(read(chat(request__model="m-1", usage__input_tokens=1)))
    second = call_of(read(chat(request__model="m-2", usage__input_tokens="none")))
    third = call_of(read(chat(request__model="", usage__input_tokens=3)))
    assert [c.request_model for c in (first, second, third)] == ["m-1", "m-2", ""]
    assert [c.usage.input_tokens for c in (first, second, third)] == [1, None, 3]
    assert [c.flags for c in (first, third)] == [(), ()]


def test_a_text_without_hits_is_looked_at_once_one_with_hits_every_time() -> None:
    redactor = Redactor(KEY)
    long = "An answer of some length, in which nobody is named at all, again and again and again."
    for text in ("short", long):
        assert [redactor.redact_attribute(text, "t", "aa") for _ in range(2)] == [text, text]
    masked = {redactor.redact_attribute("to jo@acme.io", "t", trace) for trace in ("aa", "ab")}
    assert len(masked) == 2
    assert not any("acme" in text for text in masked)


def test_what_is_remembered_is_bounded() -> None:
    redactor = Redactor(KEY)
    for number in range(PLAIN_KEPT + 10):
        redactor._plain.add(str(number))
    redactor.redact_attribute("one more", "t", "aa")
    assert len(redactor._plain) == 1
