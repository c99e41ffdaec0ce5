"""What the tests of faults share."""

from collections.abc import Iterator

import pytest

from tests.kafka_broker import Cluster, cluster


@pytest.fixture(scope="module")
def brisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A broker of this module's own, which its tests may kill."""
    with cluster(tmp_path_factory.mktemp("brisk") / "kafka") as made:
        yield made
