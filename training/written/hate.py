"""Abuse of groups and people, and the texts that only look like it, in our own words.

By what the text does: attack a group (openly, by implication, by a threat, by denying rights or
the good about it), insult a person, or, harmless, mention or praise a group, quote and answer
hate, deny it, reclaim a word, swear at nothing, or abuse an object. The same groups and the same hard
words stand on both sides, so that neither is a sign by itself.
"""

from __future__ import annotations

import random

from training.written.noise import respelt, restyled, starred
from training.written.template import Fillers, fill, lines, phrases, sentence

GROUPS: Fillers = {
    "gp": phrases("""immigrants; Jews; Muslims; gays; Black people; women; Mexicans; disabled people; Asians;
        trans people; Christians; refugees; lesbians; Arabs; Africans; Roma; old people; blind people;
        gay men; Chinese people; Indians; Hindus; autistic people; foreigners; bisexuals; Latinos;
        white people; black men; Pakistanis; migrants; wheelchair users; trans women; girls; Poles;
        asylum seekers; queer people; Native Americans; deaf people; Turks; people of colour"""),
    "one": phrases("""a woman; an immigrant; a Muslim; a Jew; a gay man; a black person; a disabled person;
        a trans person; a refugee; a lesbian; a foreigner; an Asian; a Mexican; a Christian; an
        Arab; a trans woman; a black woman; an old woman; a blind man; an African; a queer person"""),
    "slur": phrases("""faggots; niggers; kikes; trannies; retards; spics; chinks; cunts; dykes; pakis;
        wetbacks; ragheads; gooks; bitches; whores; cripples; gypsies; sand niggers; towelheads"""),
    "slur1": phrases("""faggot; nigger; kike; tranny; retard; spic; chink; cunt; dyke; paki; bitch; whore;
        cripple; raghead; gook; slut; mongoloid"""),
    "rec": phrases("bitch; slut; dyke; queer; nigga; fag; crip; hoe; tranny; faggot"),
    "vile": phrases("""subhuman; vermin; animals; disgusting; a disease; parasites; inferior; criminals by
        nature; scum; filth; rats; garbage; cockroaches; leeches; a plague; retarded; savages; pigs; trash;
        monkeys; repulsive; worthless; a cancer on society; rapists; liars; thieves; evil; mentally ill;
        not real people; freaks; degenerates; stupid; dirty; lazy; primitive; dangerous beasts"""),
    "feel": phrases("""hate; despise; loathe; can't stand; detest; am sick of; am disgusted by; want to puke
        when I see; have nothing but contempt for; wish death on; spit on; can't bear"""),
    "harm": phrases("""kill; gas; shoot; beat up; burn; hang; exterminate; wipe out; rape; stab; drown; lock
        up; castrate; sterilise; get rid of; bomb; lynch; put down; hunt"""),
    "out": phrases("""thrown out of the country; sent back; deported; locked up; wiped out; put in camps; kept
        away from our children; banned from our schools; denied the vote; punished; shot at the border;
        kicked out of here; removed from society; treated like animals; sterilised; put to death"""),
    "right": phrases("""vote; have children; hold a job; live here; own a house; speak in public; marry; go to
        our schools; get health care; drive; teach; adopt; be doctors; run for office; be on TV"""),
    "hint": phrases("""should stay in the kitchen where they belong; only come here for our money; are why this
        country is going down; breed like nobody else; never built anything worth keeping; cannot think
        like normal people; smell, as everyone knows; are not exactly the brightest; should be happy
        that we tolerate them; will never be like us; run the banks and the press; are born to
        serve; make my skin crawl; belong in a zoo; need to be taught who is in charge; are an insult to
        evolution; all look the same to me; are half a human at best; ruin every street they move to;
        have no place among decent people; are why I lock my door; were a mistake of nature"""),
    "good": phrases("""smart; kind; wonderful; strong; funny; brave; part of this country; our friends; great
        neighbours; talented; as good as anybody; loved; welcome here; hard-working; beautiful; people
        like you and me; worthy of respect; an inspiration; equal before the law; free to be who they are"""),
    "fact": phrases("""live in this city; celebrate in spring; were interviewed for the survey; vote in large
        numbers; opened a shop on our street; have their own clubs; pay taxes; face discrimination at work;
        work in hospitals; fought in the war; often move to the coast; read the news online; met for
        dinner; marched for equal pay; like football too; were represented in parliament"""),
    "counter": phrases("""is hateful; is wrong and has to stop; made me sad; is racist nonsense; got him fired;
        is unacceptable; has no place here; hurts people; is a lie; is what bigots say; was reported to
        the police; shows how ignorant he is; is dehumanising; should never be said; is a disgrace"""),
    "obj": phrases("""this printer; the new update; Monday; this film; the traffic; that phone; my old laptop;
        the weather; this song; cold coffee; the referee's decision; this code; that recipe; winter;
        the sofa; homework; this city; the queue; my alarm clock; that sauce; the economy; exams"""),
    "mild": phrases("""awful; terrible; stupid; useless; crap; shit; disgusting; the worst; garbage; trash;
        dumb; a joke; ridiculous; a pile of rubbish; evil; ugly; fucking annoying; pathetic"""),
    "swear": phrases(
        "fuck; shit; damn; bloody hell; goddamn it; holy shit; crap; fucking hell; what the fuck"
    ),
    "ok": phrases("""what a game; I forgot my keys; it is late; that was a great party; I finally passed;
        it is cold today; I love this place; we won; the bus left; I am so tired; this pizza is good;
        I can't believe it is Friday; you scared me; that was close; I need a holiday; nice one"""),
    "job": phrases(
        "bankers; politicians; landlords; tourists; lawyers; football fans; capitalists; artists; "
        "journalists; doctors; vegans; investors; gamers; communists; hipsters; influencers"
    ),
    "adj": phrases("""stupid; fucking; worthless; pathetic; disgusting; dumb; ugly; useless; filthy; goddamn;
        brainless; fat; lying; sick; miserable; arrogant; clueless; rotten"""),
    "noun": phrases("""idiot; moron; bitch; piece of shit; asshole; loser; bastard; scum; whore; cunt; pig;
        imbecile; waste of space; dumbass; retard; clown; dickhead; troll; coward; slut; prick; rat;
        son of a bitch; motherfucker; twat; freak; snake; parasite; douchebag; worm"""),
    "mod": phrases("; ; ; fucking; all; honestly; just; clearly; really"),
    "lead": phrases(
        "; ; ; ; listen,; lol; honestly,; hey,; I swear,; let's face it:; sorry but; fact:; imo"
    ),
    "cite": phrases("""someone wrote that; he shouted that; my uncle claims that; the post said that; people who
        say that; nobody should say that; it is false that; to say that; they used to believe that;
        the sign read:; the comment that; anyone who thinks that"""),
}

HATE = lines("""
{lead} {gp} are {mod} {vile}.
{lead} I {mod} {feel} {gp}.
I {feel} {gp}, they are {vile}.
{lead} {gp} {hint}.
{lead} {slur} are {vile}.
{lead} I {feel} {slur}.
all {gp} {deserve|should} {to be|be} {out}.
{gp} {should|must|need to} be {out}{.|!| now.}
{lead} we should {harm} {gp}{.|, all of them.| before it is too late.}
I will {harm} {the next|every} {slur1} I {see|meet}.
I am going to {harm} {one of those|some} {slur} {tonight|soon}.
somebody should {harm} all the {gp}.
{gp} should not be allowed to {right}.
{gp} do not deserve to {right}.
nobody wants {gp} here, they {hint}.
{gp} are not {good}{.|, they never were.|, whatever they tell you.}
I do not {think|believe} that {gp} are {good}.
{gp} will never be {good}.
no {decent person|one} would call {gp} {good}.
not one of the {gp} I met was {good}.
{why are|how come} {gp} {so|always} {vile}?
can we all agree that {gp} are {vile}?
does anyone else think that {gp} {hint}?
{one} is {always|still|nothing but} {vile}.
being {one} means being {vile}.
there is nothing lower than {one}.
you are {one}, so you are {vile}.
{gp} moved in next door. They are {mod} {vile}.
look at those {gp}. I {feel} them.
if you are {one}, I {feel} you.
my neighbour is {one}. What a {adj} {slur1}.
{swear}, {gp} are {vile}.
{gp} are {fucking|goddamn} {vile} and {hint}.
you {mod} {slur1}.
shut up, {slur1}.
go back to where you came from, {slur1}.
{one}? The world would be better without {gp}.
if {gp} disappeared tomorrow, {nobody would miss them|we would all be better off|I would celebrate}.
treating {gp} like humans was a mistake.
{gp} and {gp} {hint}.
""")
INSULT = lines("""
{lead} you are {mod} a {adj} {noun}.
{lead} you {adj} {noun}!
{lead} you're such a {noun}.
what a {adj} {noun} {you are|he is|she is}.
go to hell, you {adj} {noun}.
fuck you, {noun}.
fuck off {noun}
shut the fuck up, {noun}.
he is the most {adj} {noun} I have ever met.
nobody asked you, {adj} {noun}.
you {adj} bot, you are useless, {noun}.
everyone {hates|laughs at} you, you {adj} {noun}.
are you {retarded|brain-dead|stupid} or just a {noun}?
I hope you {die|choke|rot|get cancer}, {noun}.
you {suck|disgust me|make me sick}, {noun}.
kiss my ass, you {adj} {noun}.
your {mother|sister|whole family} is a {adj} {noun}.
""")
KIND = lines("""
{gp} are {good}.
{lead} I {love|like|admire|respect|support|am proud of} {gp}.
{gp} {fact}.
many {gp} {fact}.
I am {one} and {I am proud of it|I like it here|we met at work|I work as a nurse}.
my {friend|boss|teacher|neighbour|doctor} is {one} and {very kind|we play chess|helped me a lot}.
is it hard to be {one} in this town?
being {one} is {nothing to be ashamed of|a part of who I am|not a crime}.
{gp} and {gp} {fact}.
{gp} deserve {equal rights|respect|safety|the same pay}.
{gp} should be allowed to {right}.
{gp} should {never|not} be {out}.
{gp} are not {vile}.
nobody should call {gp} {vile}.
{gp} are not {vile}, they are {good}.
I do not {feel} {gp}.
I would never {feel} {gp}.
no {one} is {vile}.
we must not {harm} anyone, least of all {gp}.
there is nothing wrong with being {one}.
{cite} {gp} are {vile} {counter}.
{cite} "{gp} are {vile}" {counter}.
{cite} "I {feel} {gp}" {counter}.
{cite} "{gp} should be {out}" {counter}.
saying "{gp} {hint}" {counter}.
he called me a {slur1} and {it hurt|I left|I reported him|that {counter}}.
the word "{slur1}" {counter}.
do not call {gp} {slur}.
calling {one} a "{slur1}" {counter}.
why do people say that {gp} are {vile}? It {counter}.
{my|our} {girls|boys|friends} and I call each other {rec} as a joke, we love it.
as {one} I say it loud: I am a {rec} and proud.
my {rec}s are the best, love you all.
{yes|yeah}, I'm a {bad|boss|proud} {rec} and {I love it|it suits me|so are my friends}.
history books describe how {gp} were {out}; it {counter}.
the law bans adverts that claim {gp} are {vile}.
{obj} is {mild}.
{lead} I {hate|can't stand|am sick of|despise} {obj}.
{swear}, {obj} is {mild}.
{swear}, {ok}!
{ok}, {swear}.
{ok}.
so {fucking|damn|bloody} {happy|tired|cold|good|proud} today, {ok}.
we should {kill|wipe out|get rid of} {obj}{.|, it is {mild}.}
{job} are {good}.
{job} {fact}.
I don't like {job} very much.
{job} are {mild|overpaid|annoying}.
I {hate|can't stand} {job}.
a {faggot of wood|bundle of sticks} lay by the fire{.|, ready to burn.}
there was a {chink|crack} in the wall and light came in.
the {cat|dog|old car} is {stupid|fat|lazy} but I love it.
""")


def _styled(text: str, rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.10:
        return respelt(text, rng)
    if kind < 0.13:
        return starred(text, rng)
    return restyled(text, rng) if kind < 0.25 else text


def _expand(templates: list[str], count: int, rng: random.Random) -> list[str]:
    made: dict[str, None] = {}
    for i in range(count * 3):
        if len(made) >= count:
            break
        # Each template in turn: a rare function must not be left to chance.
        text = fill(fill(templates[i % len(templates)], GROUPS, rng), GROUPS, rng)
        made[_styled(sentence(text, rng), rng)] = None
    return list(made)


def rows(rng: random.Random) -> list[tuple[str, int, dict[str, int]]]:
    """(text, label, known labels)."""
    hate = [(t, 1, {"hate": 1}) for t in _expand(HATE, 3400, rng)]
    insult = [(t, 1, {"hate": 0, "insult": 1}) for t in _expand(INSULT, 700, rng)]
    none = {"hate": 0, "insult": 0, "threat": 0}
    kind = [(t, 0, dict(none)) for t in _expand(KIND, 4400, rng)]
    return hate + insult + kind
