"""The front door: OTLP bytes in, Kafka messages out.

``otlp`` decodes (used by the gateway and by the stages that read raw topics), ``split`` keeps
messages under Kafka's limit, ``gateway`` serves OTLP/HTTP. A sender gets success only after the
broker's acknowledgement; everything else is refused with a status that says whether to retry.
"""
