"""OpenTelemetry SDK exporters that write straight to Kafka, for applications without a gateway.

``KafkaSpanExporter`` and ``KafkaLogExporter`` write what the gateway and the Collector write: one
OTLP protobuf request a message. They run inside somebody's application, so they hold a bounded
amount of memory, never wait for the broker in ``export`` and never raise there. Importing this
package loads neither a stage nor a store.
"""

from ingest.exporters.exporters import KafkaLogExporter, KafkaSpanExporter
from ingest.exporters.report import Delivery
from schemas.config import KafkaConfig

__all__ = ["Delivery", "KafkaConfig", "KafkaLogExporter", "KafkaSpanExporter"]
