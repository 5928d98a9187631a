"""Evaluations that rules make from one call alone: no model, the same on every worker.

One file a family; ``registry`` names each check with its version and ``run`` turns what it
measured into a verdict by the safe interval. A check returns None where it has nothing to judge,
and then writes **no row**: the row of ``pii`` says of every call whether there was content, and ten
rows more that say the same would double what a call costs to store. So the rows of a check are the
n of its rates. Its one row is that of the operation: a check looks at one side of a call only.

All are linear in the text, which is cut as for the models.
"""
