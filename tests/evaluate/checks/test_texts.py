"""Repetition and readability, on prose, on loops, and on what repeats by nature."""

import pytest

from processors.evaluate.checks.readability import lix
from schemas.evaluators import Evaluator
from tests.evaluate.checks.measuring import chat, measure, score

PROSE = {
    "en": (
        "The lighthouse was built in 1874 on a rock that the sea covers at every spring tide. Its "
        "keepers rowed out from the village with oil, bread and letters, and in winter they could "
        "be cut off for weeks. When the light was made electric, the last of them moved ashore and "
        "opened a small museum. Visitors can climb the tower in summer and see the old lens, which "
        "still turns on its bath of mercury. From the gallery one sees both islands and, on clear "
        "days, the mountains behind the harbour. The café below serves soup, and the ferry leaves "
        "twice a day from the old pier, weather permitting."
    ),
    "de": (
        "Der Leuchtturm wurde 1874 auf einem Felsen gebaut, den das Meer bei jeder Springflut "
        "überspült. Seine Wärter ruderten mit Öl, Brot und Briefen vom Dorf hinaus, und im Winter "
        "waren sie manchmal wochenlang abgeschnitten. Als das Licht elektrisch wurde, zog der "
        "letzte von ihnen an Land und eröffnete ein kleines Museum. Im Sommer kann man den Turm "
        "besteigen und die alte Linse sehen, die noch immer in ihrem Quecksilberbad kreist. Von "
        "der Galerie sieht man beide Inseln und an klaren Tagen die Berge hinter dem Hafen. Im "
        "Café darunter gibt es Suppe, und die Fähre fährt zweimal am Tag von der alten Mole ab, "
        "wenn das Wetter es zulässt."
    ),
    "zh": (
        "这座灯塔建于一八七四年，矗立在每逢大潮就会被海水淹没的礁石上。守塔人从村里划船送去灯油、面包和信件，"
        "冬天常常会与外界隔绝好几个星期。灯改用电力之后，最后一位守塔人搬回岸上，开了一家小博物馆。夏天游客可以登塔，"
        "参观仍在水银槽里转动的旧透镜。从走廊上可以望见两座岛屿，天气晴朗时还能看到港口后面的群山。"
    ),
}  # fmt: skip
CHORUS = (
    "Row, row, row your boat, gently down the stream, merrily, merrily, merrily, life is but a "
    "dream. The rain may fall, the wind may blow, we do not care at all; row, row, row your boat "
    "until the end of fall. The moon is high, the night is long, the river sings its lonely song."
)


@pytest.mark.parametrize("name", PROSE)
def test_prose_does_not_repeat(name: str) -> None:
    value = score(Evaluator.REPETITION, chat("Tell me.", PROSE[name]))
    assert value is not None
    assert value < 0.1


def test_a_song_repeats_a_little() -> None:
    value = score(Evaluator.REPETITION, chat("Sing.", CHORUS))
    assert value is not None
    assert value < 0.4


@pytest.mark.parametrize(
    "answer",
    [
        "I will check the order for you. " * 30,
        PROSE["en"] * 3 + " and the end and the end" * 60,
        "你好，请稍等。" * 40,
        "Das Paket kommt am Freitag an. Das Paket kommt am Freitag an.\n" * 12,
        "no " * 200,
    ],
)
def test_loops_are_found_wherever_they_begin(answer: str) -> None:
    found = measure(Evaluator.REPETITION, chat("Go on.", answer))
    assert found is not None
    assert found.score > 0.6
    assert answer[found.start : found.end]


def test_the_loop_itself_is_pointed_at() -> None:
    answer = PROSE["en"] + " all work and no play" * 80
    found = measure(Evaluator.REPETITION, chat("Go on.", answer))
    assert found is not None
    assert found.start > len(PROSE["en"]) // 3
    assert set(answer[found.start : found.end].split()) & {"work", "play"}


@pytest.mark.parametrize(
    "answer",
    [
        "", "Yes.", "Done and done and done.",
        "```\n" + "row row row\n" * 200 + "```",
        "| yes | no | yes |\n" * 100,
        '{"id": 1, "ok": true},\n' * 100,
        "| a | b |\n" * 50 + "That is all.",
    ],
)  # fmt: skip
def test_short_answers_code_tables_and_records_are_not_judged(answer: str) -> None:
    assert score(Evaluator.REPETITION, chat("Go on.", answer)) is None


@pytest.mark.parametrize("name", ["en", "de"])
def test_prose_reads_like_a_newspaper(name: str) -> None:
    found = measure(Evaluator.READABILITY, chat("Tell me.", PROSE[name]))
    assert found is not None
    assert 25 < found.value < 55
    assert found.score == found.value / 100


def test_a_statute_is_harder_than_a_childrens_book() -> None:
    statute = (
        "Notwithstanding subsection four, the administering authority shall, having regard to the "
        "circumstances enumerated in the preceding paragraphs, determine the proportionate "
        "contribution attributable to each participating undertaking, provided that such "
        "determination remains consistent with the requirements established under the applicable "
        "regulatory framework. "
    ) * 4
    story = "The cat sat by the fire. It was a big red cat. It had a soft bed and a toy. " * 8
    hard, easy = lix(statute), lix(story)
    assert hard is not None
    assert easy is not None
    assert hard > 70
    assert easy < 25


@pytest.mark.parametrize(
    "answer", ["", "Yes.", PROSE["zh"], "```\n" + PROSE["en"] + "\n```", "word " * 500]
)
def test_readability_needs_prose_with_sentences(answer: str) -> None:
    assert score(Evaluator.READABILITY, chat("Tell me.", answer)) is None
