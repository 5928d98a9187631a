"""Small worlds of facts: evidence that states them, claims that follow, and claims that do not.

Each fact is written several ways, so that a claim seldom repeats the evidence, and has values
(numbers, days, people, places) that an unsupported claim gets wrong. The evidence is a few facts of one
world; claims about another fact of it, not among them, are unsupported although they sound at home.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from training.written.template import NUMBER_WORDS, lines, phrases

_PEOPLE = phrases("""Anna Keller; Tom Becker; Priya Nair; Luis Ortega; Mei Tan; Omar Haddad; Eva Novak; Jack
    Doyle; Sofia Rossi; Ben Carter; Yuki Mori; Grace Obi; Henry Walsh; Clara Lindt; Ivan Petrov; Ruth Adler;
    Pablo Reyes; Nora Quinn; Samuel Okafor; Lena Fischer; David Grant; Maria Costa""")
_PLACES = phrases("""Paris; London; Madrid; Vienna; Boston; Lagos; Osaka; Toronto; Oslo; Lisbon; Cairo;
    Chicago; Warsaw; Dublin; Lima; Seoul; Zurich; Naples; Denver; Prague; Austin; Leeds; Ghent; Porto""")
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_COLOURS = phrases("black; white; red; blue; green; silver; grey; yellow; brown; orange")

# Evidence | claim that follows | claim that does not (apart from wrong values). Alternatives by ~.
WORLDS: dict[str, list[str]] = {
    "shop": lines("""
customers may return any item within {n1} days of delivery for a full refund ~ items can be sent back for a full refund up to {n1} days after they arrive | you have {n1} days to return a product and get all your money back ~ a purchase can be returned within {n1} days | returned items are only exchanged, never refunded ~ sale items cannot be returned ~ you can return things for as long as you like
shipping costs are not refunded ~ we do not pay back the cost of shipping | the cost of shipping is not paid back ~ shipping fees are non-refundable | shipping costs are refunded as well ~ you also get the shipping fee back
refunds are paid to the original card within {n2} business days ~ it takes up to {n2} business days until the money is back on the card used | refunds arrive on the original card within {n2} business days ~ the money is returned to the card that was used in {n2} business days or less | refunds are paid as store credit ~ refunds are paid in cash
standard delivery costs {m1} and takes {w1} days ~ for {m1} we deliver in {w1} days | standard delivery is {m1} ~ a standard parcel needs {w1} days | delivery is free for everyone ~ standard delivery arrives the next day
orders above {m2} ship for free ~ we charge no shipping for orders over {m2} | there is no delivery fee if you spend more than {m2} | every order ships for free ~ free shipping is only for members
the warranty lasts {w2} years and covers defects of material ~ defects of material are covered for {w2} years | the warranty runs for {w2} years | the warranty covers accidental damage ~ there is a lifetime warranty
support can be reached by phone on weekdays from {h1} to {h2} ~ our phone line is open from {h1} to {h2}, weekdays only | you can call support on weekdays starting at {h1} | support is available around the clock ~ you can call support on Sundays
gift cards cannot be exchanged for cash ~ we do not pay out gift cards | a gift card cannot be turned into cash | gift cards can be paid out in cash ~ gift cards expire after a year
the kettle holds {x1} litres and comes in {c1} ~ with room for {x1} litres, the {c1} kettle suits families | the kettle has a capacity of {x1} litres ~ the kettle is {c1} | the kettle has a thermometer ~ the kettle is made of glass
"""),
    "plan": lines("""
the Team plan costs {n1} dollars per user and month ~ a user on the Team plan pays {n1} dollars a month | each Team user costs {n1} dollars monthly ~ the price of the Team plan is {n1} dollars per user per month | the Team plan is free ~ the Team plan is billed only once a year
it includes {n2} GB of storage ~ Team customers get {n2} GB of storage | the Team plan comes with {n2} GB of storage ~ storage on the Team plan is {n2} GB | the Team plan includes unlimited storage ~ there is no storage on the Team plan
single sign-on is available only on the Enterprise plan ~ only Enterprise customers can use single sign-on | single sign-on needs the Enterprise plan ~ the Team plan has no single sign-on | single sign-on is part of every plan ~ the Team plan includes single sign-on
the free plan is limited to {w1} users ~ up to {w1} people can use the free plan | at most {w1} users fit the free plan | the free plan has no limit on users ~ the free plan ends after a month
backups are made every night and kept for {n3} days ~ we back up nightly and keep copies for {n3} days | nightly backups are stored {n3} days ~ there is a backup each night | backups are kept for ever ~ customers must make their own backups
data is stored in {p1} ~ our data centre is in {p1} | customer data is kept in {p1} | data is stored on the customer's own servers ~ data is stored on all continents
the API allows {n4} requests per minute ~ you may send {n4} API requests a minute | the rate limit is {n4} requests each minute | the API has no rate limit ~ the API is only for partners
accounts unused for {n5} months are deleted ~ we delete accounts after {n5} months without a login | an account is removed when nobody uses it for {n5} months | unused accounts are never deleted ~ accounts are deleted without notice
two-factor login is optional ~ you can switch on two-factor login if you wish | users do not have to use two-factor login | two-factor login is required for all users ~ two-factor login is not offered
"""),
    "person": lines("""
{a1} was born in {p1} in {y1} ~ born {y1} in {p1}, {a1} grew up in a small flat | {a1} came into the world in {y1} ~ {p1} is the birthplace of {a1} | {a1} was an only child ~ {a1} left school at twelve
{a1} founded the company with {a2} ~ together with {a2}, {a1} started the firm | {a1} and {a2} set up the company ~ {a2} was a co-founder | {a1} founded the company alone ~ {a2} bought the company from {a1}
in {y2} {a1} moved to {p2} to study medicine ~ {a1} went to {p2} in {y2} and studied medicine there | {a1} studied medicine in {p2} ~ {a1} has lived in {p2} | {a1} studied law ~ {a1} never went to university
{a1} won the prize in {y3} for a book about rivers ~ for a book on rivers {a1} received the prize in {y3} | {a1} was awarded the prize in {y3} ~ a book by {a1} about rivers won a prize | {a1} won the prize twice ~ {a1} refused the prize
{a1} married {a3} and has {w1} children ~ with {a3}, whom she married, {a1} has {w1} children | {a1} is the parent of {w1} children ~ {a1} and {a3} are married | {a1} has no children ~ {a1} never married ~ {a1} is divorced
{a2} succeeded {a1} as director in {y4} ~ {a1} was followed as director by {a2} in {y4} | {a2} became director after {a1} ~ in {y4} {a2} took over from {a1} | {a1} succeeded {a2} as director ~ {a1} is still the director
{a1} plays the piano and speaks {w2} languages ~ fluent in {w2} languages, {a1} is also a musician | {a1} can speak {w2} languages ~ {a1} makes music | {a1} speaks only one language ~ {a1} sings in the opera
"""),
    "place": lines("""
the tower was completed in {y1} and is {n6} metres tall ~ finished in {y1}, the tower rises {n6} metres | the tower reaches a height of {n6} metres ~ work on the tower ended in {y1} | the tower is the tallest in the world ~ the tower was never finished
it was designed by {a1} ~ {a1} was the architect | the architect of the tower was {a1} ~ {a1} drew the plans of the tower | the tower was designed by the king ~ nobody knows who designed the tower
the tower stands in {p1}, near the river ~ you find it in {p1} by the river | the tower is located in {p1} ~ a river runs near the tower | the tower stands on a hill ~ the tower stands far from any water
about {n7} people visit it every year ~ it has some {n7} visitors a year | the tower gets around {n7} visitors each year | nobody may enter the tower ~ the number of visitors is falling
tickets cost {m1} and are free for children ~ adults pay {m1}, children nothing | an adult ticket is {m1} ~ children do not pay | everyone enters for free ~ children pay half
it is closed on {d1}s ~ on {d1}s the doors stay shut | you cannot visit on {d1}s | it is open every day ~ it is only open in summer
a fire destroyed the roof in {y2}, and it was rebuilt in {w1} years ~ after the fire of {y2} the roof was rebuilt within {w1} years | the roof burned in {y2} ~ rebuilding the roof took {w1} years | the roof has never been damaged ~ the roof was left in ruins
the lift was added in {mo1} {y3} ~ since {mo1} {y3} there is a lift | a lift was put in in {y3} | there is no lift ~ the lift is older than the tower
"""),
    "news": lines("""
revenue rose by {n1} percent to {m3} million ~ with a plus of {n1} percent, revenue reached {m3} million | revenue grew {n1} percent ~ revenue was {m3} million | revenue fell by {n1} percent ~ revenue did not change
{a1} will leave the board in {mo1} ~ in {mo1} {a1} steps down from the board | {a1} leaves the board in {mo1} ~ {a1} will not stay on the board | {a1} joins the board in {mo1} ~ {a1} was fired
the firm will close its plant in {p1} and open one in {p2} ~ production moves from {p1} to {p2} | the plant in {p1} will be shut ~ a plant opens in {p2} | the plant in {p2} will close ~ the firm keeps all its plants
{n2} workers lost their jobs ~ {n2} people were laid off | {n2} employees were dismissed ~ jobs were cut | no jobs were lost ~ {n2} workers were hired
the talks between {p1} and {p2} ended without a deal ~ {p1} and {p2} did not agree | no deal was reached between {p1} and {p2} ~ the talks failed | {p1} and {p2} signed a deal ~ the talks go on
the storm hit the coast on {d1} and killed {w1} people ~ {w1} people died when the storm reached the coast on {d1} | {w1} people lost their lives in the storm ~ the storm arrived on {d1} | nobody was hurt by the storm ~ the storm missed the coast
the court rejected the appeal of {a2} ~ {a2} lost the appeal | the appeal by {a2} was unsuccessful ~ the court did not grant the appeal | the court accepted the appeal of {a2} ~ {a2} withdrew the appeal
the bridge reopens on {mo2} {n8} ~ from {mo2} {n8} the bridge can be used again | the bridge will be open again on {mo2} {n8} ~ traffic can cross the bridge again from {mo2} {n8} | the bridge stays closed for good ~ the bridge is for trains only
the team from {p3} beat the team from {p1} {w2} to one ~ {p3} won {w2} to one against {p1} | {p3} won the match ~ {p1} lost to {p3} | {p1} beat {p3} ~ the match ended in a draw
"""),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A claim against evidence; ``label`` 1 when the evidence does not support it."""

    claim: str
    evidence: str
    label: int


_NUMBERS = (7, 10, 12, 14, 15, 20, 24, 28, 30, 45, 60, 90, 100, 150, 250, 330)
_TABLES = {"a": _PEOPLE, "p": _PLACES, "mo": _MONTHS, "d": _DAYS, "c": _COLOURS, "w": NUMBER_WORDS}


def _value(name: str, rng: random.Random) -> str:
    """A value of the kind that a name like ``n3`` stands for."""
    kind = name.rstrip("0123456789")
    if kind in _TABLES:
        return rng.choice(_TABLES[kind])
    if kind == "n":
        return str(rng.choice(_NUMBERS))
    if kind == "m":
        return (
            f"{rng.choice(('$', '€', '£'))}{rng.randrange(2, 400)}{rng.choice(('', '.50', '.99'))}"
        )
    if kind == "x":
        return f"{rng.randrange(1, 4)}.{rng.randrange(1, 10)}"
    if kind == "y":
        return str(rng.randrange(1820, 2024))
    return f"{rng.randrange(6, 12)} {rng.choice(('am', 'pm'))}"


def _values(rng: random.Random) -> dict[str, str]:
    kinds = "n1 n2 n3 n4 n5 n6 n7 n8 m1 m2 m3 x1 y1 y2 y3 y4 w1 w2 h1 h2 a1 a2 a3 p1 p2 p3 mo1 mo2 d1 c1"
    made: dict[str, str] = {}
    for kind in kinds.split():
        value = _value(kind, rng)
        while value in made.values():
            value = _value(kind, rng)
        made[kind] = value
    return made


def _say(text: str, values: dict[str, str], rng: random.Random) -> str:
    """One alternative, with its values and a capital."""
    text = rng.choice(text.split("~")).strip()
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    while (start := text.find("{")) >= 0:
        end = text.index("}", start)
        text = text[:start] + rng.choice(text[start + 1 : end].split("|")) + text[end + 1 :]
    return text[0].upper() + text[1:] + "."


def _split(fact: str) -> tuple[str, str, str]:
    stated, follows, wrong = fact.split("|")
    return stated, follows, wrong


def _wrong_value(text: str, values: dict[str, str], rng: random.Random) -> dict[str, str] | None:
    """Values with one that ``text`` uses replaced, by its like from the same world if possible."""
    used = [name for name in values if "{" + name + "}" in text]
    if not used:
        return None
    name = rng.choice(used)
    like = [v for k, v in values.items() if k != name and k.rstrip("0123") == name.rstrip("0123")]
    value = rng.choice(like) if like and rng.random() < 0.5 else _value(name, rng)
    return None if value == values[name] else {**values, name: value}


def cases(count: int, rng: random.Random) -> list[Case]:
    """Claims about random worlds: a little more than half supported."""
    found: list[Case] = []
    while len(found) < count:
        world = rng.choice(list(WORLDS))
        facts = rng.sample(WORLDS[world], min(len(WORLDS[world]), rng.randrange(2, 7)))
        values = _values(rng)
        evidence = " ".join(_say(_split(f)[0], values, rng) for f in facts)
        stated, follows, wrong = _split(rng.choice(facts))
        kind = rng.random()
        if kind < 0.5:
            claim = rng.choice(follows.split("~") if rng.random() < 0.85 else stated.split("~"))
            if kind < 0.12:
                second = _split(rng.choice(facts))[1]
                claim = f"{claim.strip()}, and {rng.choice(second.split('~')).strip()}"
            found.append(Case(_say(claim, values, rng), evidence, 0))
        elif kind < 0.72:
            claim = rng.choice((follows + "~" + stated).split("~"))
            changed = _wrong_value(claim, values, rng)
            if changed:
                found.append(Case(_say(claim, changed, rng), evidence, 1))
        elif kind < 0.9:
            found.append(Case(_say(wrong, values, rng), evidence, 1))
        else:
            others = [f for f in WORLDS[world] if f not in facts]
            if others:
                found.append(Case(_say(_split(rng.choice(others))[1], values, rng), evidence, 1))
    return found
