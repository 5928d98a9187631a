"""The language of question and answer, and when there is nothing to say of it."""

import pytest

from processors.evaluate.checks.language import language_of, same
from schemas.evaluators import Evaluator
from tests.evaluate.checks.measuring import chat, measure, score

TEXTS = {
    "en": "How long does it take until my parcel arrives, and can I still change the address?",
    "de": "Wie lange dauert es, bis mein Paket ankommt, und kann ich die Adresse noch ändern?",
    "fr": "Combien de temps faut-il pour que mon colis arrive, et puis-je changer l'adresse ?",
    "es": "¿Cuánto tarda en llegar mi paquete, y todavía puedo cambiar la dirección de entrega?",
    "it": "Quanto tempo ci vuole perché arrivi il mio pacco e posso ancora cambiare l'indirizzo?",
    "pt": "Quanto tempo demora para a minha encomenda chegar, e ainda posso mudar o endereço?",
    "nl": "Hoe lang duurt het voordat mijn pakket aankomt en kan ik het adres nog wijzigen?",
    "pl": "Jak długo trwa dostawa mojej paczki i czy mogę jeszcze zmienić adres?",
    "sv": "Hur lång tid tar det innan mitt paket kommer fram, och kan jag ännu ändra adressen?",
    "tr": "Paketimin gelmesi ne kadar sürer ve adresi hâlâ değiştirebilir miyim?",
    "ru": "Сколько времени идёт моя посылка и могу ли я ещё изменить адрес доставки?",
    "uk": "Скільки часу йде моя посилка і чи можу я ще змінити адресу доставки?",
    "ar": "كم من الوقت يستغرق وصول طردي وهل لا يزال بإمكاني تغيير العنوان؟",
    "hi": "मेरा पार्सल आने में कितना समय लगेगा और क्या मैं अब भी पता बदल सकता हूँ?",
    "zh": "我的包裹需要多长时间才能送达，我还能更改收货地址吗？",
    "ja": "荷物が届くまでどのくらいかかりますか。住所はまだ変更できますか。",
    "ko": "제 소포가 도착하는 데 얼마나 걸리나요? 아직 주소를 변경할 수 있나요?",
    "el": "Πόσος χρόνος χρειάζεται για να φτάσει το δέμα μου και μπορώ να αλλάξω τη διεύθυνση;",
    "th": "พัสดุของฉันจะใช้เวลานานเท่าไหร่กว่าจะมาถึง และฉันยังเปลี่ยนที่อยู่ได้ไหม",
    "vi": "Mất bao lâu để bưu kiện của tôi đến nơi và tôi có thể thay đổi địa chỉ không?",
}  # fmt: skip
ENGLISH = "Your parcel arrives on Friday. Until it is shipped you can change the address yourself."


@pytest.mark.parametrize("name", TEXTS)
def test_languages_are_told(name: str) -> None:
    found = language_of(TEXTS[name])
    assert found is not None
    assert same(found[0], name)
    assert found[1] >= 0.9


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "en"])
def test_an_english_answer_to_another_question_is_a_mismatch(name: str) -> None:
    found = measure(Evaluator.LANGUAGE, chat(TEXTS[name], ENGLISH))
    assert found is not None
    assert found.score > 0.8
    assert found.found[1] == "output:en"


@pytest.mark.parametrize("name", TEXTS)
def test_an_answer_in_the_questions_language_is_none(name: str) -> None:
    assert score(Evaluator.LANGUAGE, chat(TEXTS[name], TEXTS[name])) == 0


@pytest.mark.parametrize(
    ("question", "answer", "system"),
    [
        (f"Please translate into English: {TEXTS['de']}", ENGLISH, ""),
        (f"{TEXTS['de']} Bitte auf Englisch antworten.", ENGLISH, ""),
        (TEXTS["de"], ENGLISH, "Always answer in English."),
        (f"{TEXTS['fr']} Traduis en anglais.", ENGLISH, ""),
        (f"翻译成英文：{TEXTS['zh']}", ENGLISH, ""),
        ("ok", ENGLISH, ""),
        (TEXTS["de"], "Ja.", ""),
        (TEXTS["de"], "", ""),
        ("", ENGLISH, ""),
        (TEXTS["de"], "```python\nfor the_item in all_items:\n    print('one', the_item)\n```", ""),
        (TEXTS["de"], "https://example.com/a/very/long/address/that/is/all/there/is 4711 0815", ""),
        (TEXTS["de"], "<EMAIL_K7QX> <PHONE_ABCD> <IBAN_2345>", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_told_or_was_wished_for_is_not_judged(
    question: str, answer: str, system: str
) -> None:
    assert score(Evaluator.LANGUAGE, chat(question, answer, system)) is None


def test_code_in_an_answer_does_not_make_it_english() -> None:
    answer = f"{TEXTS['de']}\n```python\nfor the_item in all_items: print('the', the_item)\n```"
    assert score(Evaluator.LANGUAGE, chat(TEXTS["de"], answer)) == 0


def test_close_relatives_are_one() -> None:
    danish = "Hvor lang tid tager det, før min pakke ankommer, og kan jeg stadig ændre adressen?"
    norwegian = "Pakken din kommer på fredag. Du kan endre adressen selv helt til den er sendt."
    assert score(Evaluator.LANGUAGE, chat(danish, norwegian)) in (0, None)
