"""What tests of every kind share."""

import pytest
import structlog

from tests.kafka_broker import kafka

__all__ = ["kafka"]


@pytest.fixture(autouse=True)
def _lines_as_they_come() -> None:
    """How an earlier test had its structured lines is not how this one has them."""
    structlog.reset_defaults()
