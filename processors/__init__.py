"""The stages that turn raw OTLP into judged operations, and the runtime they run on.

``processors/app.py`` shows the topology on one page. Stages meet only through Kafka topics.
"""
