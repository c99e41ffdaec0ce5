"""How a client of the Kafka library gets in, and in one sentence why not: who is away, or which setting is wrong."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from kafka import errors

from folio.errors import Cause, FolioError, Permanent, SettingsError, Transient
from infra.kafka_cluster import Cluster, nobody_answers

T = TypeVar("T")
logging.getLogger("kafka").addHandler(logging.NullHandler())  # what matters of it is in our own lines
BOOTSTRAP_MS = 10_000
PASSING = (
    errors.CoordinatorNotAvailableError,
    errors.CoordinatorLoadInProgressError,
    errors.NotCoordinatorError,
    errors.NotLeaderForPartitionError,
    errors.LeaderNotAvailableError,
    errors.NodeNotReadyError,
    errors.KafkaConnectionError,
)
"""What a cluster answers while it finds itself: asked again, it knows."""
TAKEN = (errors.IllegalStateError, errors.RebalanceInProgressError, errors.CommitFailedError, KeyError, AttributeError)
"""What is raised about a partition that was taken from us a moment ago."""


class Overheard(logging.Handler):
    """Why a client cannot connect: the library tells it to its log, and raises that it could not connect."""

    def __init__(self) -> None:
        super().__init__()
        self.last: errors.KafkaError | None = None

    def emit(self, record: logging.LogRecord) -> None:
        for said in record.args if isinstance(record.args, tuple) else ():
            tells = isinstance(said, errors.KafkaError) and not isinstance(said, errors.KafkaTimeoutError)
            if tells and not isinstance(self.last, errors.SaslAuthenticationFailedError):
                self.last = said


def connected(client: Callable[..., T], cluster: Cluster, **options: Any) -> T:
    """A client of the library. Raises what kept it from connecting."""
    if why := nobody_answers(cluster.servers):
        raise errors.KafkaConnectionError(why)
    overheard = Overheard()
    library = logging.getLogger("kafka")
    library.addHandler(overheard)
    try:
        return client(**cluster.client, bootstrap_timeout_ms=BOOTSTRAP_MS, **options)
    except errors.KafkaError as error:
        raise overheard.last or error from None
    finally:
        library.removeHandler(overheard)


@contextmanager
def plain_errors(cluster: Cluster, doing: str) -> Iterator[None]:
    """Whatever the library raises, as one of ours: who is away (Transient), or what is set wrongly (SettingsError)."""
    try:
        yield
    except errors.KafkaError as error:
        raise translated(error, cluster, doing) from error


def translated(error: errors.KafkaError, cluster: Cluster, doing: str) -> FolioError:
    """One sentence: what happened, whose problem it is, what to do."""
    what = _cause_of(error)
    if wrong := _wrong_setting(error, cluster, doing, what):
        return SettingsError(wrong)
    if isinstance(error, errors.MessageSizeTooLargeError | errors.RecordListTooLargeError):
        return Permanent(Cause.TOO_LARGE, f"{doing}: {what}")
    if isinstance(error, errors.UnknownTopicOrPartitionError):
        missing = f"a topic is missing (folio topics apply --yes makes it) or {_who(cluster)} may not see it"
        return Transient(Cause.LOG_DOWN, f"{doing}: {missing}")
    if "UNEXPECTED_EOF" in what:  # a broker that goes away does the same, so it is asked again
        what = f"it ends the TLS handshake; if it always does: check kafka.security_protocol ({what})"
    return Transient(Cause.LOG_DOWN, f"Kafka at {cluster.servers}, {doing}: {what}")


def _wrong_setting(error: errors.KafkaError, cluster: Cluster, doing: str, what: str) -> str:
    """Which setting keeps us out, and how to mend it; empty when none does."""
    at, who = f"Kafka at {cluster.servers}", _who(cluster)
    if isinstance(error, errors.IllegalSaslStateError | errors.UnsupportedSaslMechanismError):
        return (
            f"{at} does not speak {cluster.security_protocol} there: check "
            f"kafka.security_protocol, the port in kafka.servers and kafka.sasl_mechanism ({what})"
        )
    if isinstance(error, errors.SaslAuthenticationFailedError):
        return f"{at} refuses {who}: check kafka.username, kafka.password and kafka.sasl_mechanism ({what})"
    if "CERTIFICATE_VERIFY_FAILED" in what:
        return (
            f"the certificate of {at} is not to be trusted: kafka.cafile must name who signed "
            f"it, kafka.servers the host that it was made for ({what})"
        )
    if "ALERT" in what.upper():
        return f"{at} does not accept our certificate: check kafka.certfile, kafka.keyfile ({what})"
    if isinstance(error, errors.AuthorizationError):
        return f"{doing}: {who} may not: {what}. An ACL is missing: docs/kafka.md lists them by role"
    if isinstance(error, errors.InvalidSessionTimeoutError):
        return (
            f"{at} does not allow kafka.session_timeout_s = {cluster.session_timeout_s:g}: give a time from its "
            "group.min.session.timeout.ms (6 s by default) to its group.max.session.timeout.ms (30 minutes by default)"
        )
    return ""


def _who(cluster: Cluster) -> str:
    return f"user {cluster.username!r}" if cluster.username else "this client"


def _cause_of(error: BaseException) -> str:
    """The text of the error and of what it came from."""
    texts: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(texts) < 4:
        texts.append(str(seen) or type(seen).__name__)
        seen = seen.__cause__ or seen.__context__
    return " < ".join(texts)[:300]
