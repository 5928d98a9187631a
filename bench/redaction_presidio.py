"""Presidio's pattern recognisers over the texts on standard input; see ``bench.redaction``.

Runs in an environment of its own. Every recogniser that finds an entity of ours takes part, also
those of single countries that are off by default; words of context count (tokens of a blank spaCy
pipeline, whose lemma is the word itself: no language model is loaded).
"""

import inspect
import json
import sys
import time
from importlib.metadata import version
from typing import Any

import presidio_analyzer.predefined_recognizers as predefined
import spacy
from presidio_analyzer import (
    AnalyzerEngine,
    EntityRecognizer,
    PatternRecognizer,
    RecognizerRegistry,
)
from presidio_analyzer.nlp_engine import SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import PhoneRecognizer
from spacy.language import Language
from spacy.tokens import Doc

SAME = {
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN",
    "IP_ADDRESS": "IP",
    "MAC_ADDRESS": "MAC",
}
NOT_OF_PEOPLE = ("LICENSE", "LICENCE", "PASSPORT", "BANK", "VEHICLE", "ABN", "ACN", "VAT", "GSTIN",
                 "VOTER", "POSTCODE", "NPI", "MEDICAL", "CRYPTO", "DATE", "URL", "UEN")  # fmt: skip
"""Parts of names of entities that are no identity number of a person."""


def entity(name: str) -> str:
    """Our name of an entity of theirs, or ''."""
    if name in SAME:
        return SAME[name]
    country = name[:2].isalpha() and name[2:3] == "_"
    return "NATIONAL_ID" if country and not any(part in name for part in NOT_OF_PEOPLE) else ""


@Language.component("words_as_lemmas")
def words_as_lemmas(document: Doc) -> Doc:
    """So that words of context are found without a model."""
    for token in document:
        token.lemma_ = token.lower_
    return document


class BlankEngine(SpacyNlpEngine):
    """Tokens and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        pipeline = spacy.blank("en")
        pipeline.add_pipe("words_as_lemmas")
        self.nlp = {"en": pipeline}


def recognisers() -> list[EntityRecognizer]:
    """All that look for an entity of ours."""
    found = []
    for _, kind in inspect.getmembers(predefined, inspect.isclass):
        if issubclass(kind, PatternRecognizer | PhoneRecognizer) and kind is not PatternRecognizer:
            made = kind(supported_language="en")
            if any(entity(name) for name in made.supported_entities):
                found.append(made)
    return found


def measured(work: dict[str, Any]) -> dict[str, Any]:
    """Spans with their scores of each sample; processor seconds of both ways over the documents."""
    used = recognisers()
    engine = AnalyzerEngine(
        registry=RecognizerRegistry(recognizers=used, supported_languages=["en"]),
        nlp_engine=BlankEngine(), supported_languages=["en"],
    )  # fmt: skip
    names = sorted({name for one in used for name in one.supported_entities if entity(name)})
    spans = [
        [(r.start, r.end, entity(r.entity_type), r.score)
         for r in engine.analyze(text, language="en", entities=names)]
        for text in work["samples"]
    ]  # fmt: skip
    seconds = {}
    for name, documents in work["documents"].items():
        start = time.process_time()
        for text in documents:
            engine.analyze(text, language="en", entities=names)
        whole = time.process_time() - start
        start = time.process_time()
        for text in documents:
            for one in used:
                one.analyze(text, one.supported_entities, None)
        seconds[name] = {"engine": whole, "patterns": time.process_time() - start}
    return {
        "version": version("presidio-analyzer"), "recognisers": len(used), "spans": spans,
        "seconds": seconds,
    }  # fmt: skip


if __name__ == "__main__":
    json.dump(measured(json.load(sys.stdin)), sys.stdout)
