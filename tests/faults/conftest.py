"""What the tests of faults share."""

from collections.abc import Iterator

import pytest

from tests.kafka_broker import Cluster, cluster


@pytest.fixture(scope="module")
def brisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A broker of this module's own, which lets sessions be short."""
    folder = tmp_path_factory.mktemp("brisk")
    extra = folder / "extra.properties"
    extra.write_text("group.min.session.timeout.ms=1000\n")
    with cluster(folder / "kafka", extra=extra) as made:
        yield made
