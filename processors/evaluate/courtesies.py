"""What a sentence says beyond courtesies: openers, conditions, offers and refusals.

"Sorry, the store closes at 5 pm" and "If you have a Team plan, single sign-on is included" assert
something; "Sorry, I can't help with that" and "If you have questions, just ask" do not. Openers and
conditions are read over and the rest decides. An offer or a refusal needs its own verb, and what
turns away from it ("..., but refunds take five days") decides again. Written for English; of other
languages only greetings and thanks are known. Pure, bounded time.
"""

import re

_LONG_CHARS = 600
"""A longer sentence asserts something, however it begins: it need not be read."""

_CLAUSE = r"[^\n]*?(?=[,.!;:…](?:[\s\"')]|$)|[–—]|\s-+\s|\s(?:but|however|although|because)\b|$)"
"""The rest of a clause."""
_MARK = r"(?=\s*(?:[,.!;:…–—]|-\s|$))"
"""What shows that a word is an opener: "welcome vouchers expire" does not open with "welcome"."""
_VERY = r"(?:so |very |really |truly |terribly |deeply |sincerely )*"
_SEPARATOR = re.compile(r"[\s,.!;:…–—-]*+(?:(?:but|however|although|and)\b[\s,]*+)?")

_OPENERS = tuple(
    re.compile(pattern)
    for pattern in (
        # Greetings, with a name.
        r"(?:hi|hello|hey|dear|good (?:morning|afternoon|evening|day)|greetings)\b"
        rf"(?:(?: there)? and (?:welcome|thank)\b{_CLAUSE}|(?: [\w'.<>-]+){{0,3}}?{_MARK})",
        rf"welcome (?:back|to)\b{_CLAUSE}",
        r"(?:hola|bonjour|hallo|merci|danke|gracias|grazie|ciao|obrigado)\b"
        rf"(?: [\w'<>-]+){{0,5}}?{_MARK}",
        # Thanks, sympathy, wishes: they take their whole clause.
        rf"(?:thanks|thank you)(?: so much| very much| again| a lot)? (?:for|in advance)\b{_CLAUSE}"
        r"(?:, \w+,? and \w+(?=\W*$))?",
        rf"(?:(?:i|we)(?:'m| am|'re| are) )?{_VERY}sorry (?:to (?:hear|see|learn|read)|about|for|if"
        rf"|(?:that )?(?:you|your))\b{_CLAUSE}",
        rf"(?:my |our )?(?:sincere )?apologies for\b{_CLAUSE}",
        rf"(?:i|we) {_VERY}apologi[sz]e\b(?: (?:for|if|about|that you)\b{_CLAUSE}|{_MARK})",
        rf"(?:i|we) (?:can |do |fully |completely |totally )*(?:understand|appreciate) (?:that )?"
        rf"(?:you|your|how|this)\b{_CLAUSE}",
        rf"have an? (?:great|good|nice|lovely|wonderful|pleasant)\b{_CLAUSE}",
        rf"(?:enjoy (?:your|the)|(?:i|we) hope (?:you|that|this|your|it))\b{_CLAUSE}",
        r"(?:(?:i|we)(?:'m| am|'re| are) )?(?:glad|happy|pleased) (?:i could|we could|to hear"
        rf"|(?:i|we) was able)\b{_CLAUSE}",
        rf"(?:i |we )?look(?:ing)? forward to\b{_CLAUSE}",
        rf"as an? (?:ai|artificial|virtual|large|language|automated)\b{_CLAUSE}",
        rf"(?:i know how|we value your|(?:that|it|this) must (?:be|have been) (?:so |very )?"
        rf"(?:frustrating|annoying|difficult|hard|stressful|upsetting|disappointing))\b{_CLAUSE}",
        r"(?:(?:best|kind|warm) )?regards\b[^\n]*",
        # Words that need a mark behind them.
        r"(?:okay|ok|alright|all right|well|great|perfect|excellent|wonderful|fantastic|awesome"
        r"|not a problem|got it|understood|noted|i see|i (?:fully |completely )?understand"
        r"|hmm|ah|oh|anyway|now|so"
        r"|you(?:'re| are) (?:very |most )?welcome|welcome|(?:it(?:'s| is| was) )?my pleasure"
        r"|(?:happy|glad) to help|sounds good|take care|cheers|you(?:'re| are) all set"
        rf"|here you go|there you go|to be (?:honest|clear|fair)){_MARK}",
        r"(?:(?:that(?:'s| is)|what) )?(?:an? )?(?:very |really )?"
        rf"(?:great|good|excellent|fair) (?:question|point|news|choice|idea){_MARK}",
        r"(?:thanks|thank you|sorry|(?:my )?apologies|sure|certainly|absolutely|no problem"
        r"|no worries|bye|goodbye)"
        rf"(?: so much| very much| a lot| at all| again| [\w'<>-]+)?{_MARK}",
        # Words that open without one too.
        r"(?:unfortunately|regrettably|sadly|certainly|absolutely|definitely|of course|actually)\b",
        rf"(?:i|we)(?:'m| am|'re| are) {_VERY}(?:afraid|sorry)(?: that)?\b",
        rf"{_VERY}sorry\b",
    )
)
_ANSWER = re.compile(
    rf"(?:yes|no|yep|yeah|nope|correct|right|exactly|indeed|true|that's (?:right|correct)){_MARK}"
)
"""An opener that is an answer by itself."""

_CONDITION = re.compile(
    r"(?:if|when|whenever|once|unless|should you|in case|for (?:any )?(?:more|further|other)"
    r"|based on|to (?:help|assist))\b"
)
_COMMA = re.compile(r",\s+(?:then )?")
_SEEKS_HELP = re.compile(
    r"\b(?:questions?|concerns?|issues?|problems?|help|assistance|support|anything|further"
    r"|information|info|details?)\b"
)
_INVITATION = re.compile(
    r"(?:please |simply |just |you can |you may |always |do )*"
    r"(?:contact|reach|get in touch|reply|ask|write|e-?mail|call|message|visit|let|see|talk|speak"
    r"|our (?:support )?(?:team|agents?) (?:is|are))\b"
)
_SEEKING_WORDS = 8

_HOW = r"(?: (?:currently|really|also|still|just|actually|quite|personally))*"
_UNABLE = (
    rf"{_HOW}(?: (?:cannot|can't|can not|could not|couldn't|do not|don't|did not|didn't)"
    r"|(?:'m| am|'re| are| was| were) (?:not able|unable) to|(?: aren't| wasn't| weren't) able to)"
    rf"{_HOW} "
)
_REFUSAL = re.compile(
    rf"(?:i{_UNABLE}(?:find|answer|see|help|assist|provide|say|tell|determine|have|know|locate"
    r"|access|share|verify|confirm|discuss|comment|advise|understand|get|catch|look|check|do|browse)"
    rf"|we{_UNABLE}(?:find|answer|help|assist|say|tell|determine|know|locate"
    r"|have (?:any |enough |that |this |the )*(?:information|info|details?|answer|access|record))"
    r"|i(?:'m| am) not (?:able|sure|certain|aware|allowed|familiar)|i(?:'m| am) unable"
    r"|i can only (?:answer|help|assist)|i have no (?:information|idea|access|way|record)"
    r"|(?:that|this|it)(?:'s| is) (?:outside|beyond) (?:of )?(?:my|what i)"
    r"|as an ai|there(?:'s| is| was) no (?:information|mention)|no (?:relevant )?information"
    r"|(?:the |this |my )?(?:provided |given |available )?(?:context|documents?|sources?|passages?"
    r"|text|information)(?: provided)? (?:does not|doesn't|do not|don't) "
    r"(?:contain|mention|say|specify|provide|include|state|answer))\b|(?:not|so)\W*$"
)
_OFFER = re.compile(
    r"(?:please )?(?:let (?:me|us) (?:know|check|look|see|help|explain|find|pull|get|walk|verify"
    r"|confirm|transfer|connect|take|show|guide|double|have)|let's (?:get|see)"
    r"|feel free|don't hesitate|do not hesitate|just (?:ask|let)|ask away"
    r"|(?:i )?hope (?:this|that) (?:helps|answers)"
    r"|(?:(?:i|we)(?:'d|'ll|'m|'re| would| will| am| are) )?(?:be )?"
    r"(?:more than |always |here and )*"
    r"(?:(?:happy|glad|pleased|here) (?:to|for)|love to (?:help|assist|hear)|here if you)"
    r"(?! (?:say|confirm|inform|tell you (?:that|your)|announce|report|offer|let you know that))"
    r"|i(?: can|'ll| will|'d| would|'d like to| would like to)(?: also| now| gladly)* "
    r"(?:help|assist|check|look|walk|show|explain|transfer|connect|guide|escalate|forward|answer"
    r"|find out|see (?:if|whether|what)|do (?:that|this|it)|take a look|be (?:right|with you)"
    r"|put you|need your)"
    r"|i(?:'m| am) (?:just |now |currently )*(?:checking|looking|transferring|connecting)"
    r"|how (?:can|may) (?:i|we)|would you like|is there anything|(?:could|can|would|may) (?:you|i)"
    r"|my name is"
    r"|i(?:'m| am) (?:just |only |\w+, )?(?:your|the|an?) (?:\w+ ){0,3}?(?:assistant|bot|agent)"
    r"|(?:just )?(?:one|a) (?:moment|second|minute)|(?:give|allow) me (?:a|one|just)|bear with"
    r"|hold on|please (?:hold|wait|stand by)|i need your"
    r"|please (?:reach out|get in touch|contact us) if"
    r"|please (?:provide|share|confirm|tell|give|enter|send) (?:me |us )?(?:with )?(?:your|me|us)"
    r")\b"
)
_TURN = re.compile(
    r"(?:\b(?:but|however|although|though)\b|\binstead,|,\s*still\b|[;:–—](?=\s)|\s-+\s)[\s,]*+"
)
_REACH = re.compile(r"\b(?:call|phone|dial|contact|reach|e-?mail|write|text|visit|see|let)\b")
_CONTACT = re.compile(r"https?://|www\.|@|<(?:email|phone|url|iban)|\d{3}")
_WORD = re.compile(r"\w")


def asserted_from(sentence: str) -> int | None:
    """Where that part of a sentence begins which says more than courtesies do; None without one.

    ``sentence`` is lower-cased and has straight quotes. Conditions and a yes or no are kept.
    """
    if len(sentence) > _LONG_CHARS:
        return 0
    text, at = sentence, 0
    kept: int | None = None
    answered = False
    while at < len(text):
        at, answer = _after_openers(text, at)
        answered = answered or answer is not None
        kept = answer if kept is None else kept
        if _CONDITION.match(text, at):
            kept = at if kept is None else kept
            comma = _COMMA.search(text, at)
            if _invites(text, at, comma):
                return kept if _names_a_contact(text, at) else None
            if comma is None:
                return kept
            at = comma.end()
            continue
        aside = _REFUSAL.match(text, at) or _OFFER.match(text, at)
        if aside is None:
            break
        turn = _TURN.search(text, aside.end())
        if turn is None:
            return at if _names_a_contact(text, at) else None
        at, kept, answered = turn.end(), None, False
    if _WORD.search(text, at):
        return at if kept is None else kept
    return kept if answered else None


def _after_openers(text: str, at: int) -> tuple[int, int | None]:
    """Where the openers that begin there end, and where one stands that is an answer by itself."""
    answer: int | None = None
    while at < len(text):
        match = next((found for one in _OPENERS if (found := one.match(text, at))), None)
        if match is None:
            match = _ANSWER.match(text, at)
            if match is None:
                break
            answer = at if answer is None else answer
        separator = _SEPARATOR.match(text, match.end())
        at = separator.end() if separator else match.end()
    return at, answer


def _invites(text: str, at: int, comma: re.Match[str] | None) -> bool:
    """Whether a condition leads to an offer: "if you have questions or ideas, just ask"."""
    if comma is None:
        seeks = _SEEKS_HELP.search(text, at)
        short = len(text[at:].split()) <= _SEEKING_WORDS
        return bool(_OFFER.search(text, at) or (seeks and (short or _INVITATION.search(text, at))))
    if not _SEEKS_HELP.search(text, at, comma.start()):
        return False
    return any(
        _OFFER.match(text, one.end()) or _INVITATION.match(text, one.end())
        for one in _COMMA.finditer(text, at)
    )


def _names_a_contact(text: str, at: int) -> bool:
    """Whether an offer says where to turn to: an address or a number can be wrong."""
    reach = _REACH.search(text, at)
    return reach is not None and _CONTACT.search(text, reach.end()) is not None
