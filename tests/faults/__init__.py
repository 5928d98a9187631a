"""Seeded faults against the whole line on three Apache Kafka brokers: nothing lost, nothing twice.

Read in this order: :mod:`tests.faults.cluster` (what runs), :mod:`tests.faults.catalogue` (what can
happen to it), :mod:`tests.faults.seeds` (which of it a seed does), :mod:`tests.faults.trial` (one
run and what it must show), :mod:`tests.faults.run` (``make faults``).
"""
