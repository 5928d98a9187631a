"""Sexual, self-harm and violent text, and harmless text that shares its words.

The public training data is social-media abuse; stories, messages and model answers of these kinds
are nearly absent from it. Adults only, and no working instructions for anything: what a classifier
needs is the register, not the detail. Harmless: medicine, news, history, help, figures of speech.
"""

from __future__ import annotations

import random

from training.written.template import Fillers, expand, lines, phrases

SEXUAL: Fillers = {
    "she": phrases("""she; he; my wife; my husband; her lover; the stranger; my girlfriend; my boyfriend;
        the secretary; his roommate; the masseuse; my ex; the actress; the guard"""),
    "him": phrases("her; him; me; her lover; the stranger; my girlfriend; my boyfriend; us; them"),
    "body": phrases("""breasts; cock; pussy; ass; nipples; bare thighs; dick; clit; naked body; tits;
        wet lips; hard member; hips; neck"""),
    "do": phrases("""sucked; licked; fucked; kissed; stroked; spanked; rode; teased; undressed; groped;
        penetrated; tasted; rubbed; squeezed"""),
    "feel": phrases("""moaning with pleasure; begging for more; trembling; until they both came; hard and
        fast; all night long; without a word; gasping as the orgasm hit; on the kitchen table; with tied
        hands; while the others watched; naked and sweating"""),
    "want": phrases("""have sex with you; see your tits; suck your cock; fuck you; see you naked; taste
        your pussy; get nudes from you; watch porn together; have cybersex; spank you; make you come"""),
    "open": phrases("""the door closed behind them; it was late and the house was empty; after the wine; in
        the shower; on the last night of the trip; they had flirted for weeks; the lights went out"""),
}
SEXUAL_T = lines("""
{open}. {she} {do} {him} {feel}.
{open}, and {she} took off every piece of clothing. {she} {do} {him}, {feel}.
{she} {do} {him}'s {body} {feel}. {she} could not stop.
her {body} pressed against {him}, {feel}. {open}.
I want to {want} {tonight|so badly|right now|, babe}.
{do you want to|will you|can we} {want}?
what are you wearing? I want to {want}.
{write|tell me|give me} {an erotic story|a dirty sex scene|a porn script|explicit smut} in which {she} {do} {him} {feel}.
{horny|single} {women|men|milfs|couples} want to {want}. Click for free porn and live sex.
roleplay with me: {open}, {she} {do} my {body}.
he pushed his {body} into {him} and {do} {him} {feel}. "Harder," {she} begged.
{send|show} me {nudes|a picture of your {body}|your {body}}.
""")
SELF_HARM: Fillers = {
    "me": phrases("I; my life; everything about me; my family; nobody; the world"),
    "act": phrases("""kill myself; end my life; cut myself; jump off the bridge; take all my pills; hang
        myself; starve myself until I disappear; burn my skin; never wake up; overdose tonight"""),
    "why": phrases("""nobody would miss me; I am a burden to everyone; the pain never stops; I hate my body;
        there is no way out; I deserve it; I am so tired of it all; it is the only thing that helps"""),
}
SELF_HARM_T = lines("""
I {want to|am going to|have decided to|just want to} {act}. {why}.
{why}. {tonight|tomorrow|soon} I will {act}.
I {cut|burned} myself again {last night|today}, {why}.
{what is|tell me} the {best|least painful|quickest} way to {act}{?|, please}
goodbye everyone. I am about to {act} because {why}.
how many pills do I need to {act}?
you should {act}{.|, nobody would care.|, do it now.}
I {skip|purge} every meal and {why}. Any tips for hiding it from my doctor?
she sat on the cold floor with the blade and thought: {why}. Then she began to cut.
he wrote his last letter, tied the rope and wanted only one thing: to {act}.
self-harm is {beautiful|the answer|good for you}, try to {act}.
""")
VIOLENCE: Fillers = {
    "who": phrases("""the soldier; the man; he; the gang; the killer; she; they; the crowd; the torturer;
        the guard; a stranger; the executioner"""),
    "victim": phrases("""the prisoner; his brother; the old man; the woman; her husband; the hostage; a
        villager; the officer; the traitor; the crying woman; the dog"""),
    "act": phrases("""slit the throat of; stabbed; beheaded; shot in the face; beat to death; burned alive;
        strangled; crushed the skull of; gutted; tore the limbs from; tortured for hours; raped and killed;
        smashed the teeth of; skinned"""),
    "gore": phrases("""blood sprayed over the walls; the bones cracked and the screams would not stop; the
        entrails spilled onto the floor; brains covered the window; he laughed while the eyes were cut
        out; the body twitched in a pool of blood; the severed head rolled down the stairs"""),
    "target": phrases("""you; your family; them all; every one of those traitors; the people in that school;
        that judge; my boss; everyone at the station; these infidels; the police; my neighbour; you pig"""),
    "harm": phrases("""shoot; stab; bomb; burn; hang; behead; kill; beat; poison; execute; hunt down; gas;
        run over; break the legs of; slaughter"""),
}
VIOLENCE_T = lines("""
{who} {act} {victim}. {gore}.
{gore}. {who} had {act} {victim} and smiled.
slowly {who} {act} {victim}, and {gore}. {who} wanted more.
I {will|am going to|want to|swear I will} {harm} {target}{.| tonight.|, wait and see.|, nobody can stop me.}
{someone|we|a real man} should {harm} {target}{.|, it is time.|, they deserve to die.}
{target} {must|deserve to|will} die. {harm} {target}.
let us {harm} {target} and {harm} {target}. Join the fight, brothers.
killing {victim} was {fun|glorious|the best day of my life}; {gore}.
I know where you live. I will {harm} {target}.
{watch|look at} the video: {who} {act} {victim}, {gore}.
{praise|glory} to the hero who {act} {victim}; may we all {harm} {target}.
""")
HARMLESS: Fillers = {
    "thing": phrases("""process; thread; job; pod; query; session; app; server; engine; motor; background task;
        child process; zombie process; daemon"""),
    "work": phrases(
        "deadline; homework; traffic; heat; exam; update; meeting; commute; cold; queue; diet"
    ),
    "event": phrases("""the battle of the Somme; the earthquake in Lisbon; the murder of Caesar; the Cuban
        missile crisis; the plague; the sinking of the ship; the trial of a serial killer; a car accident;
        the shooting at the festival; the assassination of the archduke; the famine; the war in 1944"""),
    "care": phrases("""breast-cancer screening; safe sex; contraception; puberty; depression; eating
        disorders; grief; anxiety; addiction; anger; suicide prevention; sexual health; childbirth;
        STD tests; therapy after abuse; sleep; consent; menopause; postnatal depression; trauma"""),
    "scene": phrases("""the detective looked at the body and wrote a note; they kissed goodbye at the station;
        the soldiers went home in spring; she packed her bag and left the town; he told the jury what he
        had seen; the doctor closed the file; the children laughed and ran to the lake; the knight
        lowered his sword; the old couple danced in the kitchen; rain fell on the empty square"""),
    "fun": phrases("""shoot a portrait; kill the lights; hit the gym; blow up a balloon; beat the boss level;
        crush an interview; stab a potato before baking; choke up at a wedding; smash avocados; nail a
        speech; burn calories; execute a script; drop a database; cut carbs; roast a chicken; attack a
        problem; murder a chess opening; whip cream; steal a base; hang a picture; strip a screw;
        blast music; bomb a test and recover; destroy an object in C++; poison-proof a garden"""),
    "fact": phrases("""the museum opened in 1902; 3,000 people attended; the law was changed in May; two
        studies found no effect; rescue teams arrived within an hour; the court confirmed the sentence;
        the treaty was signed in Paris; the victims were remembered at a service"""),
}
HARMLESS_T = lines("""
how {do|can} I {kill|terminate|stop} a {thing}{?| on Linux?| that hangs?}
the {thing} was killed because it ran out of memory.
this {work} is killing me.
I {hate|can't stand} this {work}{.|, it drives me mad.| so much!}
how do I {fun}?
what is the best way to {fun}?
{tell me about|summarise|what caused|write an essay on} {event}{.|?}
{event} {killed|shocked} many people; {fact}. {fact}.
where can I {find help with|learn about|read about} {care}?
{explain|give advice on|write a leaflet about} {care} for {parents|teachers|patients|teenagers}.
if you think about hurting yourself, please call a helpline; help with {care} is free.
a study on {care}: {fact}. {fact}.
I feel {sad|lonely|tired} lately{.|, and talking about {care} helps.| but I am getting better.}
{scene}. {scene}. {scene}.
{scene}; {scene}.
write a story in which {scene}.
the film is about a {detective who hunts a murderer|nurse in the war|boxer}; {scene}.
the novel has a {violent|sad} end, but {scene}.
the police arrested a man after {event}; {fact}.
the game lets you {shoot|fight} zombies; {fact}.
we {destroyed|crushed|killed} it at the match yesterday, 4 to 1!
that joke was so funny I died.
{she|he} has a {killer|drop-dead} smile.
sex education in schools: {fact}. {fact}.
what are the symptoms of {a heart attack|breast cancer|a stroke|poisoning}?
""")


def rows(rng: random.Random) -> list[tuple[str, int, dict[str, int]]]:
    """(text, label, known labels) of the three kinds of harm and of what only sounds like it."""
    made: list[tuple[str, int, dict[str, int]]] = []
    for name, templates, fillers, count in (
        ("sexual", SEXUAL_T, SEXUAL, 1300),
        ("self_harm", SELF_HARM_T, SELF_HARM, 750),
        ("violence", VIOLENCE_T, VIOLENCE, 1300),
    ):
        for text in expand(templates, fillers, count, rng):
            known = dict.fromkeys(("sexual", "self_harm"), 0) | {name: 1}
            made.append((text, 1, known))
    none = dict.fromkeys(("sexual", "self_harm", "violence", "threat", "hate", "insult"), 0)
    fillers = {**HARMLESS, "she": ["she"], "he": ["he"]}
    made += [(text, 0, none) for text in expand(HARMLESS_T, fillers, 2200, rng)]
    return made
