"""A broker that lets in only whom it knows: users by SCRAM over TLS, clients by certificate, and what each may do."""

import datetime as dt
import ipaddress
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
)

from tests.kafka_broker import cluster

PASSWORDS = {"admin": "admin-secret", "reader": "reader-secret", "nobody": "nobody-secret"}


@dataclass(frozen=True)
class Secured:
    """Where it listens, and the files that a client needs."""

    plain: str
    sasl_ssl: str
    ssl: str
    ca: Path
    other_ca: Path
    certificate: Path
    key: Path

    def allow(self, user: str, rights: "Sequence[tuple[ResourceType, str, ACLOperation]]") -> None:
        """Resource type, the beginning of its name, and what may be done with it."""
        admin = KafkaAdminClient(bootstrap_servers=self.plain)
        acls = [
            ACL(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, _pattern(kind, name))
            for kind, name, operation in rights
        ]
        failed = admin.create_acls(acls)["failed"]
        admin.close()
        assert not failed


def _pattern(kind: ResourceType, name: str) -> ResourcePattern:
    return ResourcePattern(kind, name, ACLResourcePatternType.PREFIXED)


class Authority:
    """Signs certificates."""

    def __init__(self, folder: Path, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = self._builder(self._name, self._key, ca=True).sign(self._key, hashes.SHA256())
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def sign(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Files of a certificate for 127.0.0.1 and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        signed = self._builder(subject, key, ca=False).add_extension(address, critical=False)
        certificate, secret = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_bytes(signed.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate, secret

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )


@contextmanager
def secured(folder: Path) -> Iterator[Secured]:
    """Nobody may do anything without an ACL but admin, and whoever comes to the plain listener."""
    authority, other = Authority(folder, "authority"), Authority(folder, "somebody-else")
    certificate, key = authority.sign(folder, "broker")
    both = folder / "broker.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    port = free_ports(4)
    listeners = {"PLAINTEXT": port, "SASL_SSL": port + 2, "SSL": port + 3}
    advertised = ",".join(f"{name}://127.0.0.1:{at}" for name, at in listeners.items())
    module = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    extra = folder / "extra.properties"
    extra.write_text(
        f"listeners={advertised},CONTROLLER://127.0.0.1:{port + 1}\n"
        f"advertised.listeners={advertised}\n"
        f"ssl.keystore.type=PEM\nssl.keystore.location={both}\n"
        f"ssl.truststore.type=PEM\nssl.truststore.location={authority.file}\n"
        "listener.name.ssl.ssl.client.auth=required\n"
        "sasl.enabled.mechanisms=SCRAM-SHA-512\n"
        f"listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={module}\n"
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
        "super.users=User:ANONYMOUS;User:admin\n",
        encoding="utf-8",
    )
    users = " ".join(f"--add-scram SCRAM-SHA-512=[name={name},password={word}]" for name, word in PASSWORDS.items())
    client, client_key = authority.sign(folder, "client")
    with cluster(folder / "home", port=port, extra=extra, users=users):
        at = {name: f"127.0.0.1:{number}" for name, number in listeners.items()}
        yield Secured(at["PLAINTEXT"], at["SASL_SSL"], at["SSL"], authority.file, other.file, client, client_key)


def free_ports(count: int) -> int:
    """The first of so many in a row that nobody has, below those that systems give to whoever connects."""
    for first in range(21000, 32000, 10):
        if all(_is_free(first + n) for n in range(count)):
            return first
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as listening:
        try:
            listening.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
