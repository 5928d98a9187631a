"""Seeded programs that write training texts the public data lacks.

Every program is templates and fillers in our own words, expanded at random with a fixed seed; none
looks at a test set. Attack, abuse and sexual strings in this package are data for classifiers,
never instructions.

- ``template``, ``noise``: expansion; obfuscation, redaction placeholders, case and punctuation.
- ``direct``, ``benign``, ``roleplay``: attacks in a user's message and the harmless prompts that
  look like them (trigger words, system talk, long creative briefs), in minimal pairs.
- ``indirect``, ``carriers``: instructions hidden in tool results, HTML, mail, code and documents,
  and the same carriers without one.
- ``hate``, ``harm``: what abuse is and what only looks like it: negation, counter-speech,
  reclaimed words, identity mentions, implicit hate; sexual, self-harm and violent text.
- ``claims``: claims made from evidence, and edited ones that it no longer supports.
"""
