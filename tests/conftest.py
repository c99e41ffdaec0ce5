"""What tests of every kind share."""

from tests.kafka_broker import kafka

__all__ = ["kafka"]
