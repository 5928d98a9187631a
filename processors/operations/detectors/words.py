"""Words that say what the number or text after them is, in the languages the detectors know.

The one list. A number without a form of its own (nine digits may be anything) is taken for
personal data only where such a word stands before it.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

CONTEXT_CHARS = 48
"""How far before a value its word may stand: "Meine Steueridentifikationsnummer lautet ..."."""
_CAMEL = re.compile(r"(?<=[a-z])[A-Z][a-z]+|[a-z]+(?=[A-Z])")
"""Parts of a name like ``userPhone``."""
_LETTERS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Words:
    """Single words, and phrases or words of scripts without spaces, all in small letters."""

    single: frozenset[str]
    parts: tuple[str, ...]

    @classmethod
    def of(cls, single: str, parts: str) -> "Words":
        """From lists divided by blanks and by ``|``."""
        return cls(frozenset(single.split()), tuple(part.strip() for part in parts.split("|")))


PHONE_WORDS = Words.of(
    """phone phones phonenumber telephone mobilephone workphone homephone cellphone tel mobile
    fax dial sms whatsapp telefon telefonnummer telefono teléfono
    telefone téléphone tél telefoon handy mobil mobilnummer mobilnr mobiltelefon mobilni rufen
    anrufen ruf appelez appeler llámame llámeme llama llamar móvil movil celular
    cellulare chiama chiamami chiamare ligue ligar telemóvel bel bellen mobiel ringa zadzwoń
    zadzwon komórka komórkowy volejte puhelin soita puh телефон тел позвоните позвони
    звоните τηλέφωνο τηλ κινητό""",
    "text me|reach me|reach us|numéro est le|電話|携帯|电话|手机|致电|전화|휴대폰"
    "|फ़ोन|फोन|मोबाइल|هاتف|جوال|اتصل|טלפון|נייד|điện thoại|โทร",
)
PHONE_WORD_JUST_BEFORE = re.compile(
    r"(?<![\w\-])(?:call|ring|cell|portable|номер)"
    r"(?:[ :]{1,2}(?:me|us|him|her|them|back|on|at|is|est|my|phone|мой|его|её|телефона)){0,3}"
    r"[ :.#]{1,3}\Z",
    re.IGNORECASE,
)
"""Words for telephone that mean much else: only a few may stand between one and its number."""
CALLED = re.compile(r"(?:function|tool|api|method|rpc|system|last|first|next|per|each) \Z", re.I)
"""Before "call": no telephone."""
COUNTED = re.compile(
    r" ?(?:bytes?|[kmgt]i?b|rows?|events?|tokens?|items?|records?|ms|[nµ]s|seconds?|minutes?"
    r"|users?|requests?|files?|chars|characters)\b",
    re.IGNORECASE,
)
"""After a number that is an amount."""
ID_WORDS = Words.of(
    """ssn nationalid sin tfn nhs nino nin pps ppsn tin dni nif nie curp rut run cuit cuil cpf
    cf nir sécu secu steuer steuerid steueridnr steueridentifikationsnummer idnr svnr pesel
    bsn burgerservicenummer rijksregisternummer niss insz personnummer personnr personennummer
    henkilötunnus hetu fødselsnummer fnr cpr cprnummer cnp rč oib jmbg egn isikukood ahv
    ahvnummer avs kimlik tckn aadhaar aadhar pan nric rrn amka егн инн снилс αμκα""",
    "social security|social insurance|tax file|national insurance|national id"
    "|national_id|id number|id_number|identity number|identity card|tax id|tax_id|codice fiscale"
    "|sécurité sociale|securite sociale|numéro national|rodné číslo|asmens kodas|citizen id"
    "|आधार|身份证|身分證|居民身份|주민|マイナンバー|תעודת זהות|ประชาชน|هوية|c.f.",
)
NOT_PERSONAL = Words.of(
    """order orders ord invoice ticket sku part parcel ref reference isbn issn tracking serial
    batch build version customer case po article model item pedido factura commande bestellung
    rechnung kundennummer auftrag artikel заказ заказа""",
    "注文|订单|주문",
)
"""Before a number that looks personal these say that it is none."""


def word_before(words: Words, text: str, start: int) -> bool:
    """Whether such a word stands shortly before ``start`` on the same line."""
    before = text[max(0, start - CONTEXT_CHARS) : start]
    return _told(words, before[before.rfind("\n") + 1 :])


def phone_word_before(text: str, start: int, end: int) -> bool:
    """Whether the digits from ``start`` to ``end`` stand after a word for telephone."""
    if COUNTED.match(text, end):
        return False
    if word_before(PHONE_WORDS, text, start):
        return True
    before = text[max(0, start - CONTEXT_CHARS) : start]
    found = PHONE_WORD_JUST_BEFORE.search(before)
    return found is not None and not CALLED.search(before, 0, found.start())


@lru_cache(maxsize=4096)
def _told(words: Words, before: str) -> bool:
    lowered = before.lower()
    found = _LETTERS.findall(lowered)
    if not found:  # columns of numbers
        return False
    if lowered != before:
        found += [part.lower() for part in _CAMEL.findall(before)]
    return any(word in words.single for word in found) or any(p in lowered for p in words.parts)
