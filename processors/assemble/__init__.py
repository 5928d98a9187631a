"""The ``assemble`` stage: fragments of one trace in, operations that count once out.

Read in this order: ``stage.py`` (messages, graces, emission), ``trace.py`` (what is known of one
trace), ``entry.py`` (of one span), ``collapse.py`` (which of several spans of one call counts),
``join.py`` (content and evidence), ``memory.py`` (which traces are kept), ``graces.py`` (waiting).

Everything emitted is a pure function of the set of fragments in hand, so any order and any
repetition of a trace's fragments ends with the same newest operation per span.
"""
