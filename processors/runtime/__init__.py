"""How a stage runs: what reads messages, bounds them, retries, dead-letters and acknowledges.

``pipeline`` is the one core; ``faust_runner``, ``aiokafka_runner`` and ``memory`` feed it.
Delivery is decided in the pipeline alone: a message is acknowledged after everything it calls for
is durably taken, strictly in offset order per partition.
"""
