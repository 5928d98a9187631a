"""What was judged: told again, told with more knowledge, forgotten, with rows used anew."""

from dataclasses import replace

from processors.evaluate.claims import SupportPlan
from processors.evaluate.context import Prepared
from processors.evaluate.judged import JudgedMemory, OperationKey
from schemas.evaluators import Evaluator, Reason

ALL = list(Evaluator)


def key(number: int, partition: int = 0) -> OperationKey:
    """Of a span."""
    return partition, "default", f"{number:032x}", f"{number:016x}"


def prepared(text: str, knowledge: int) -> Prepared:
    """Something to judge by every evaluator."""
    return Prepared(
        [], [], [], SupportPlan(), {},
        dict.fromkeys(Evaluator, text), dict.fromkeys(Evaluator, knowledge),
    )  # fmt: skip


def test_judged_again_only_with_other_texts_from_more_knowledge_and_at_most_twice() -> None:
    memory = JudgedMemory(4)
    first = prepared("a", 1)
    assert memory.due(key(1), first) == ALL
    memory.note(key(1), first, [Evaluator.INJECTION])
    assert memory.due(key(1), first) == [e for e in ALL if e != Evaluator.INJECTION]
    memory.note(key(1), first, ALL[1:])
    assert memory.due(key(1), prepared("b", 1)) == memory.due(key(1), prepared("a", 2)) == []
    for knowledge in (2, 3):
        now = prepared(f"text {knowledge}", knowledge)
        assert memory.due(key(1), now) == ALL
        memory.note(key(1), now, ALL)
    assert memory.due(key(1), prepared("more", 4)) == []


def test_why_there_was_nothing_to_judge_is_part_of_what_was_judged() -> None:
    memory = JudgedMemory(1)
    nothing = replace(prepared("", 1), absent={Evaluator.HALLUCINATION: Reason.NO_CONTEXT})
    memory.note(key(1), nothing, ALL)
    late = replace(prepared("", 2), absent={Evaluator.HALLUCINATION: Reason.LATE_CONTEXT})
    assert memory.due(key(1), late) == [Evaluator.HALLUCINATION]


def test_the_least_recently_told_is_forgotten_and_its_row_begins_anew() -> None:
    memory = JudgedMemory(2)
    one = prepared("a", 1)
    memory.note(key(1), one, ALL)
    memory.note(key(2), one, ALL)
    memory.note(key(1), one, [])
    memory.note(key(3), one, ALL[:1])
    assert (memory.due(key(1), one), memory.due(key(2), one)) == ([], ALL)
    assert memory.due(key(3), one) == ALL[1:]


def test_a_partition_that_went_is_forgotten_and_leaves_room() -> None:
    memory = JudgedMemory(2)
    one = prepared("a", 1)
    memory.note(key(1, 0), one, ALL)
    memory.note(key(1, 1), one, ALL)
    memory.forget(0)
    assert (memory.due(key(1, 0), one), memory.due(key(1, 1), one)) == (ALL, [])
    memory.note(key(2, 1), one, ALL[:2])
    assert memory.due(key(2, 1), one) == ALL[2:]
    assert memory.due(key(1, 1), one) == []
