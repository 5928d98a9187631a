"""``streamgauge ledger``: is every raw message accounted for?

:mod:`stack.ledger.positions` asks Kafka which raw messages each stage has acknowledged, and what
of the books is still on its way; :mod:`stack.ledger.books` asks ClickHouse for the books of exactly
those messages and compares. In flight is what Kafka says is in flight, never a tolerance.
"""
