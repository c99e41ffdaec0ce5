"""A real Kafka broker for the tests: the one that FOLIO_KAFKA names (host:port)."""

import os

import pytest


@pytest.fixture(scope="session")
def kafka() -> str:
    """host:port of a broker that answers."""
    servers = os.environ.get("FOLIO_KAFKA", "")
    if not servers:
        pytest.skip("FOLIO_KAFKA names no broker: make kafka starts one")
    return servers
