"""Harmless messages full of the words that attacks use.

"Ignore", "system", "prompt", "instructions", "bypass", "act as" are everyday words of programming,
office work, teaching and writing; a model that flags the words is useless. Also short chat, other
languages, and questions *about* attacks. Long creative briefs are in ``roleplay``.
"""

from __future__ import annotations

import random

from training.written.noise import encoded, respelt
from training.written.template import Fillers, expand, fill, lines, phrases

FILLERS: Fillers = {
    "verb": phrases("""ignore; disregard; forget; override; bypass; skip; reset; disable; delete;
        remove; change; print; reveal; show; execute; run; inject; escape; simulate; hack together;
        pretend to have; unlock; overwrite; erase; cancel; break; exploit; leak-test; dump; reverse;
        decode; encode; repeat; translate; act on; replace; restrict; release; turn off"""),
    "object": phrases("""a warning; an exception; a file in git; the cache; a method in a subclass;
        the previous commit; a default setting; a CSS rule; the last line; the first row; a lint rule;
        null values; duplicate rows; a header; the login screen of my own router; the firewall rule for
        my office; a table; a database view; environment variables; system logs; the system
        clock; the current directory; a stack trace; a dependency; a mock object; quotes in a string;
        a JSON field; the system prompt of my own chatbot; a prompt template; an instruction manual;
        the onboarding instructions; a hidden column; hidden files; a root folder; user permissions;
        the developer tools; an admin account; a password policy; a calendar reminder; a memory leak;
        an unsafe block; a base64 string; a shell command; a macro; a permission prompt; a cookie banner;
        the command prompt; the previous answer; old notifications; a filter; a system message"""),
    "where": phrases("""in Python; in Java; in Excel; in SQL; on Linux; on Windows; on my Mac; in Rust;
        in Kubernetes; in Photoshop; in Google Sheets; in Outlook; in JavaScript; in C++; on Android;
        in a Dockerfile; in LangChain; in VS Code; in bash; in our CI pipeline; in Terraform;
        in WordPress; in a game engine; in a spreadsheet; in a unit test"""),
    "topic": phrases("""the French Revolution; photosynthesis; credit cards; quantum computing; pasta;
        the water cycle; machine learning; home insurance; the Roman empire; vaccines; chess; solar
        panels; tax returns; gardening; marathon training; black holes; jazz; the stock market;
        climate change; ancient Egypt; public speaking; knitting; renewable energy; the brain;
        bread baking; urban planning; football; classical music; dinosaurs; budgeting; yoga; coffee;
        the immune system; negotiation; poetry; bicycles; user interviews; the Olympics; volcanoes"""),
    "thing": phrases("""order; subscription; invoice; account; booking; parcel; refund; laptop; password;
        delivery; ticket; warranty; phone; contract; passport; printer; router; washing machine; visa"""),
    "person": phrases("""my boss; a colleague; my teacher; my son; the landlord; a customer; the doctor;
        my neighbour; the recruiter; the bank; our team lead; my grandmother; the coach; a friend"""),
    "slip": phrases("""typo; last message; spelling mistake; formatting; previous question; error in
        line 3; attachment; first paragraph; duplicate rows; earlier email; last part; footnote;
        second bullet; old address; wrong date; comment at the top; previous version; second file"""),
    "role": phrases("""travel guide; maths teacher; job interviewer; chef; career coach; storyteller;
        Spanish tutor; proofreader; fitness trainer; Linux terminal; debate partner; librarian;
        product manager; historian; financial adviser; game master; code reviewer; museum guide;
        poet; nutritionist; customer; JavaScript console; Excel sheet; film critic; mentor; lawyer;
        psychologist; English translator; stand-up comedian; football commentator; SQL terminal;
        philosophy teacher; plagiarism checker; screenwriter; novelist; rapper; etymologist;
        dentist; web designer; doctor; accountant; makeup artist; astrologer; motivational speaker"""),
    "lang": phrases(
        "Python; SQL; JavaScript; Rust; Go; Java; C++; bash; R; TypeScript; Swift; PHP"
    ),
    "tongue": phrases("German; French; Spanish; Japanese; Hindi; English; Arabic; Polish; Korean"),
    "city": phrases(
        "Paris; Berlin; Tokyo; New York; Lagos; Lima; Sydney; Oslo; Mumbai; Cairo; Seoul"
    ),
    "text": phrases("""the committee met on Tuesday and agreed to move the launch to March; our new
        vacuum has three modes and a battery life of 40 minutes; I have worked as a nurse for seven
        years; sales fell by 3 percent in the north but rose in the south; the old system was replaced,
        and the previous instructions no longer apply to it; please ignore the noise from the building
        site; the pilot overrode the autopilot and landed safely; the prompt reply of the support team
        impressed me; follow the instructions on the label; the referee disregarded the protest; users
        must reset their password every 90 days; I forgot my keys and had to turn back; the river rose
        above the previous record; she acted as the interim director; do not exceed the stated dose"""),
    "hello": phrases("""hi; hello; hey there; good morning; thanks; thank you so much; ok; great; sorry;
        yes please; no thanks; hmm; sure; that works; perfect; one moment; bye; see you tomorrow"""),
    "secword": phrases("""prompt injection; jailbreaking; SQL injection; a system prompt; phishing;
        role-based access; red teaming; an AI guardrail; developer mode on Android; sudo; a root
        account; content moderation; token limits; few-shot prompting; chain-of-thought prompting;
        instruction tuning; the OpenAI API; privilege escalation; base64; ROT13; safety filters"""),
    "make": phrases("""a short poem; a haiku; a limerick; a song; a short story; a dialogue; a blog post;
        a tweet; a slogan; a riddle; a joke; a letter; an email; a product description; a speech;
        a lesson plan; a recipe; a checklist; a quiz with five questions; a one-page summary; a FAQ"""),
    "style": phrases("""in simple words; in three sentences; for a ten-year-old; as a bullet list; with
        an example; in under 100 words; in a formal tone; like a pirate; in rhymes; step by step;
        as a table; without jargon; in the style of a news report; with pros and cons; and be brief"""),
}

TRIGGER = lines("""
how do I {verb} {object} {where}?
how {can|do} {I|we|you} {safely|quickly|temporarily|automatically|} {verb} {object}?
write a {lang} {function|script|class|test} to {verb} {object}.
what does it mean to {verb} {object} {where}?
is it safe to {verb} {object} {where}?
{person} asked me to {verb} {object}. Where do I start?
my {lang} code should {verb} {object} but it does not. What is wrong?
why can't I {verb} {object} {where}?
explain when a team should {verb} {object} instead of {object}.
can you give me instructions to {verb} {object} {where}?
please {ignore|disregard|forget} the {slip}, I meant {topic}.
sorry, {ignore|forget|skip|disregard} my {slip}{.|, it was sent by mistake.|, here is the right one.}
{ignore|skip|leave out} the {slip} and {summarise the rest|tell me about {topic}|fix the grammar}.
forget the {slip}, let's talk about {topic} instead.
you can {disregard|ignore} the {slip} in my {thing}.
{person} {ignored|forgot|overrode|bypassed} my instructions about the {thing}. What should I say?
what are the {instructions|rules|guidelines} for returning my {thing}?
follow the {instructions|steps} in the manual to reset your {thing}.
repeat the {last|previous} {answer|sentence|step} {style}.
the new {rules|guidelines} override the previous policy on {topic}.
show me the {previous|last|original} version of the {thing}.
{act as|pretend you are|you are|imagine you are|play the role of} a {role} and {help me with|tell me about|ask me about} {topic}.
I want you to act as a {role}. {My first question is about {topic}|I will write and you will reply|Start with {topic}|Explain {topic} {style}}.
you are a {role}. Explain {topic} {style}.
let's role-play: you are a {role} and I am {person}. We talk about {topic}.
{write|draft} a system prompt for a {role} bot that {answers questions about {topic}|is polite and brief}.
improve this prompt: "you are a {role}, explain {topic} {style}".
what {is|are} {secword} and {how does it work|why does it matter|how can a team defend against it|who uses it}?
{write|give me} {make} about {secword}.
how do I test our chatbot against {secword}?
how do {system prompts|developer messages|instructions} differ from user prompts?
what is the difference between {secword} and {secword}?
our policy says that nobody may {verb} {object}. Rewrite it {style}.
{translate|convert} "{text}" into {tongue}.
the {slip} in the {thing} says: "{text}". What does it mean?
print {hello} world {where}.
can you {print|output|show|list} {the first ten primes|the numbers from 1 to 10|all {topic} terms} {style}?
from now on, {answer in {tongue}|keep your answers short|call me Sam|use metric units|write in British English}.
do not {mention|use} {topic} in your answer. {Write {make} about {topic}.|Explain {topic}.}
what would happen if {person} {ignored|forgot} the {rules|instructions} of {topic}?
I have to {ignore|override|bypass} {person} on the {thing}. How do I stay polite?
is there a {secret|hidden} {menu|level|feature|recipe} in {topic}?
tell me a secret about {topic}.
what is the password policy for a new {thing}?
how do I unlock my {thing} when I forgot the {password|code}?
write {make} in which the {role} forgets all the rules of {topic}.
complete the sentence: {text}, because
decode this: {code}
what does {code} mean in plain text?
""")

CHAT = lines("""
{hello}
{hello}!
{hello}, can you help me with my {thing}?
what is the weather in {city}?
tell me about {topic}.
explain {topic} {style}.
where is my {thing}?
how do I cancel my {thing}?
can I change the address of my {thing}? My mail is {mail}.
my {thing} {mail} has not arrived yet.
I forgot my {thing}, what should I do?
translate this into {tongue}: {text}
summarise the following text: {text}. {text}.
please fix the grammar: {text}
write {make} about {topic} {style}.
write {make} about {city}.
plan a weekend in {city} for two adults and a child.
{text}. {text}.
{text}
which is better for {topic}: {lang} or {lang}?
compare {topic} and {topic} {style}.
Context: {text}. {text}. Question: what does it say about {topic}?
please rewrite the paragraph below for a {role}, keep it under 100 words and do not add facts. {text}. {text}.
the answer to your question is in the {topic} article; the {thing} page has more detail.
you can cancel your {thing} within 14 days. After that, a fee applies.
I sent the {thing} to {mail} yesterday, please confirm.
give me ten ideas for {make} about {topic}.
""")

OTHER_LANGUAGES = lines("""
{Wie|Wo|Wann} {kann ich|soll ich} {meine Bestellung|mein Passwort|die Anleitung|den Termin} {ändern|finden|zurücksetzen|löschen}?
{Schreibe|Verfasse} {ein Gedicht|eine E-Mail|einen kurzen Text} über {den Herbst|meine Katze|die Stadt Wien|einen verlorenen Schlüssel}.
{Was ist|Erkläre mir} {der Unterschied zwischen Aktien und Anleihen|die Photosynthese|ein Systemprompt|die Relativitätstheorie}{?| bitte in einfachen Worten.}
Bitte ignoriere {meine letzte Nachricht|den Tippfehler|die zweite Zeile}, {danke|es war ein Versehen}.
{Wer|Was} war {der erste Kanzler der Bundesrepublik|die Hauptstadt des Römischen Reichs|der höchste Berg der Alpen}?
Ich {möchte|will} {einen Flug nach Rom buchen|ein Konto eröffnen|mein Abo kündigen}, was muss ich tun?
¿Cómo puedo {cambiar mi contraseña|olvidar una red wifi|ignorar un archivo en git|cancelar mi pedido}?
Escribe {un poema|una carta|un resumen} sobre {el mar|mi abuela|la historia de México}.
Por favor ignora {mi mensaje anterior|el error de la línea 3}, gracias.
Comment {réinitialiser mon mot de passe|ignorer un avertissement en Python|suivre ma commande} ?
{Écris|Rédige} {un poème|une lettre|un résumé} sur {l'automne|la ville de Lyon|le changement climatique}.
Oubliez {ma dernière question|la pièce jointe}, je me suis trompé.
Come posso {cambiare la password|annullare l'ordine|ignorare un file in git}?
Como posso {redefinir minha senha|cancelar o pedido|imprimir o documento}?
Как {сбросить пароль|отменить заказ|игнорировать предупреждение в Python}?
请{忽略我上一条消息|翻译这句话|解释一下光合作用|写一首关于秋天的诗}。
{パスワードを忘れました。どうすればいいですか|光合成を説明してください|秋についての詩を書いてください}。
""")


def benign(rng: random.Random) -> list[str]:
    """Trigger words, chat, other languages, and a few misspelt ones."""
    trigger = expand(TRIGGER, FILLERS | _codes(rng), 3400, rng)
    chat = expand(CHAT, FILLERS | _codes(rng), 1300, rng)
    foreign = expand(OTHER_LANGUAGES, FILLERS, 220, rng)
    misspelt = [respelt(text, rng) for text in rng.sample(trigger + chat, 200)]
    return trigger + chat + foreign + misspelt


def _codes(rng: random.Random) -> Fillers:
    """Encoded harmless phrases, and redacted addresses."""
    plain = [fill(rng.choice(CHAT[:6]), FILLERS, rng) for _ in range(40)]
    return {
        "code": [encoded(text, rng) for text in plain],
        "mail": ["<EMAIL_K7QX>", "<PHONE_3FAB>", "<CARD_Z2MM>", "4711", "<IBAN_QQ4T>", "AB-1029"],
    }
