"""What tests of every kind share."""

import pytest
import structlog

from tests.kafka_broker import kafka

__all__ = ["kafka"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs a broker can be run alone: `pytest -m "kafka and not faults"`."""
    for item in items:
        of_file = "kafka" in item.path.stem and item.path.parent.name != "unit"
        if of_file or "[kafka" in item.name or "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker("kafka")


@pytest.fixture(autouse=True)
def _lines_as_they_come() -> None:
    """How an earlier test had its structured lines is not how this one has them."""
    structlog.reset_defaults()
