"""A file by its address, as a producer announced it: only from where the settings allow, and no further than that.

An address on a topic is anybody's: it must not make this process ask what only this process can reach. So the host is
resolved once, its addresses are looked at, and the connection goes to the very address that was looked at. A redirect
is an address like any other.
"""

import asyncio
import errno
import http.client
import ipaddress
import socket
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import IO, Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from folio.errors import Cause, Permanent, SettingsError, Transient

CONNECT_S = 10.0
SILENT_S = 30.0
TRIES = 3
REDIRECTS_MAX = 3
PART_BYTES = 1 << 20
URL_CHARS_MAX = 4096
PORTS = {"http": 80, "https": 443}
OBJECT_STORES = ("s3", "gs", "az")
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scheme and host begin, and below which folder; no port: the scheme's own."""

    scheme: str
    host: str
    port: int | None
    folder: str

    def has(self, url: SplitResult, path: str) -> bool:
        return (url.scheme, _host(url), _port(url)) == (self.scheme, self.host, self.port) and (
            path == self.folder or path.startswith(self.folder.rstrip("/") + "/")
        )


class Allowed:
    """What `ingest.fetch_allow` says: addresses up to a folder, and networks that names may lead into."""

    def __init__(self, listed: Sequence[str]) -> None:
        """Raises SettingsError for an entry that means nothing."""
        self._places = [_place(one) for one in listed if "://" in one]
        self._networks = [_network(one) for one in listed if "://" not in one]

    def check(self, address: str) -> SplitResult:
        """Raises Permanent(policy_denied), or Permanent(schema_invalid) for what is no address."""
        url = _parsed(address)
        path = _path(url)
        if not any(place.has(url, path) for place in self._places):
            raise Permanent(Cause.POLICY_DENIED, f"{shown(address)}: not below an address in ingest.fetch_allow")
        return url

    def leads(self, host: str, address: IpAddress) -> bool:
        """Whether a connection may go there: to what is public, to a network that is listed, or listed as it is."""
        inner = _inner(address)
        if any(inner in network for network in self._networks if network.version == inner.version):
            return True
        if host in (str(address), "localhost"):
            return True  # the list itself has this address, not a name for it
        return inner.is_global and not inner.is_multicast


@dataclass(frozen=True, kw_only=True)
class Fetcher:
    """Fetches into `folder`, never more than `bytes_max`."""

    allowed: Allowed
    bytes_max: int
    folder: Path
    prefix: str = ""
    seconds_max: float = 600.0

    @asynccontextmanager
    async def fetched(self, address: str) -> AsyncIterator[Path]:
        """The file for as long as the context lasts. Raises Permanent: policy_denied, fetch_failed or too_large.

        A full disk of ours is Transient(disk_full): no producer is to blame for it.
        """
        self.allowed.check(address)
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix=self.prefix, buffering=0) as file:
            for tries_left in reversed(range(TRIES)):
                try:
                    await asyncio.to_thread(self._fetch, address, file)
                    break
                except OSError as error:
                    if error.errno not in FULL:
                        raise
                    raise Transient(Cause.DISK_FULL, f"{self.folder}: no space left") from error
                except _Again as error:
                    if not tries_left:
                        raise Permanent(Cause.FETCH_FAILED, f"{shown(address)}: {error}") from None
                    file.seek(0)
                    file.truncate()
                    await asyncio.sleep(2.0 ** (TRIES - tries_left) / 4)
            yield Path(file.name)

    def _fetch(self, address: str, file: IO[bytes]) -> None:
        until_s = time.monotonic() + self.seconds_max
        url = self.allowed.check(address)
        if url.scheme == "file":
            self._copy_file(url, file)
        elif url.scheme in OBJECT_STORES:
            self._take(_object_parts(url), file, until_s)
        else:
            self._take_http(address, file, until_s)

    def _copy_file(self, url: SplitResult, file: IO[bytes]) -> None:
        """What a link leads to must be below a listed folder, too."""
        path = Path(_path(url))
        try:
            real = path.resolve(strict=True)
            self.allowed.check(real.as_uri())
            if not real.is_file():
                raise Permanent(Cause.FETCH_FAILED, f"{path}: not a file")
            with real.open("rb") as source:
                self._room_for(real.stat().st_size)
                while part := source.read(PART_BYTES):
                    _write(file, part)
        except OSError as error:
            if error.errno in FULL:
                raise
            raise Permanent(Cause.FETCH_FAILED, f"{path}: {error.strerror}") from None

    def _take_http(self, address: str, file: IO[bytes], until_s: float) -> None:
        for _ in range(REDIRECTS_MAX + 1):
            url = self.allowed.check(address)
            with _asked(url, self._resolved(url), until_s) as response:
                location = response.getheader("Location")
                if response.status in (301, 302, 303, 307, 308) and location:
                    address = urljoin(address, location)
                    continue
                _check_status(response.status)
                size = response.getheader("Content-Length") or ""
                self._room_for(int(size) if size.isdecimal() else 0)
                self._take(_parts(response), file, until_s)
                if size.isdecimal() and file.tell() != int(size):
                    raise _Again(f"the connection ended after {file.tell():,} of {int(size):,} bytes")
                return
        raise Permanent(Cause.FETCH_FAILED, f"{shown(address)}: more than {REDIRECTS_MAX} redirects")

    def _take(self, parts: Iterator[bytes], file: IO[bytes], until_s: float) -> None:
        taken = 0
        try:
            for part in parts:
                taken += len(part)
                self._room_for(taken)
                self._in_time(until_s)
                _write(file, part)
            self._in_time(until_s)  # a connection that was cut looks like one that has ended
        except (http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
            raise _Again(f"broken off: {error or type(error).__name__}") from None

    def _in_time(self, until_s: float) -> None:
        if time.monotonic() > until_s:
            raise Permanent(Cause.FETCH_FAILED, f"it was not there after {self.seconds_max:.0f} s")

    def _room_for(self, size: int) -> None:
        if size > self.bytes_max:
            raise Permanent(Cause.TOO_LARGE, f"more than {self.bytes_max:,} bytes (ingest.file_bytes_max)")

    def _resolved(self, url: SplitResult) -> str:
        """The address to connect to: looked up once, so that nobody can answer differently the second time."""
        host = _host(url)
        try:
            found = socket.getaddrinfo(host, _port(url) or PORTS[url.scheme], type=socket.SOCK_STREAM)
        except OSError as error:
            raise _Again(f"{host} cannot be resolved ({error.strerror})") from None
        addresses = [str(one[4][0]).partition("%")[0] for one in found]
        for address in addresses:
            if not self.allowed.leads(host, ipaddress.ip_address(address)):
                raise Permanent(
                    Cause.POLICY_DENIED,
                    f"{host} leads to {address}, which is not public, and ingest.fetch_allow lists no network with it",
                )
        return addresses[0]


def _inner(address: IpAddress) -> IpAddress:
    """The IPv4 address that an IPv6 address carries, however it does; else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    carried = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
    if carried is None and address in NAT64:
        carried = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return carried or address


class _Again(Exception):
    """It may work the next time."""


def _write(file: IO[bytes], part: bytes) -> None:
    """All of it: a file without a buffer may take less, as on a disk that is nearly full."""
    left = memoryview(part)
    while left:
        left = left[file.write(left) :]


def _parts(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while part := response.read1(PART_BYTES):  # what has come, however little: whoever drips is timed, too
        yield part


@contextmanager
def _asked(url: SplitResult, address: str, until_s: float) -> Iterator[http.client.HTTPResponse]:
    """GET, over a connection to `address` that calls itself by the URL's host: in TLS and in the header."""
    host, port = _host(url), _port(url) or PORTS[url.scheme]
    connection = http.client.HTTPConnection(host, port, timeout=SILENT_S)
    with closing(connection), ExitStack() as stack:
        try:
            plain = socket.create_connection((address, port), timeout=CONNECT_S)
            stack.callback(_cut_after(plain, until_s - time.monotonic()).cancel)
            plain.settimeout(SILENT_S)
            secure = url.scheme == "https"
            connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain
            target = (url.path or "/") + (f"?{url.query}" if url.query else "")
            connection.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
            for header, value in {"Host": url.netloc, "Accept-Encoding": "identity", "User-Agent": "folio"}.items():
                connection.putheader(header, value)
            connection.endheaders()
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise _Again(f"{host}: {error or type(error).__name__}") from None
        yield response


def _cut_after(connected: socket.socket, seconds: float) -> Timer:
    """End a connection in the middle of whatever it does: a timeout between two bytes is none over all of them."""

    def cut() -> None:
        with suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)

    timer = Timer(max(0.0, seconds), cut)
    timer.daemon = True
    timer.start()
    return timer


def _check_status(status: int) -> None:
    if status in AGAIN:
        raise _Again(f"it answers {status}")
    if status != 200:
        raise Permanent(Cause.FETCH_FAILED, f"it answers {status}")


def _object_parts(url: SplitResult) -> Iterator[bytes]:
    """From S3 and the like, with the credentials of this process's environment."""
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    try:
        store = from_url(f"{url.scheme}://{url.netloc}")
        for part in store.get(_path(url).lstrip("/")).stream(min_chunk_size=PART_BYTES):
            yield bytes(part)
    except FileNotFoundError:
        raise Permanent(Cause.FETCH_FAILED, "there is no such object") from None
    except (BaseError, OSError) as error:
        raise _Again(str(error).partition("\n")[0][:300]) from None


def shown(address: str) -> str:
    """Without user, password and query, which may be secrets, and not too long."""
    url = urlsplit(address)
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"[:300]


def _parsed(address: str) -> SplitResult:
    try:
        url = urlsplit(address)
        url.port  # noqa: B018  # raises for what is no port
    except ValueError:
        raise Permanent(Cause.SCHEMA_INVALID, "fetch: not an address") from None
    plain = len(address) <= URL_CHARS_MAX and address.isprintable() and address.isascii() and " " not in address
    if not plain or not url.scheme or "\\" in address or "@" in url.netloc:
        raise Permanent(Cause.SCHEMA_INVALID, f"fetch: {address[:80]!r} is no plain address (no user, no blanks)")
    return url


def _path(url: SplitResult) -> str:
    """Decoded once. Raises Permanent(policy_denied) for one that climbs, or that hides that it does."""
    path = unquote(url.path) or "/"
    if any(part in ("..", ".") for part in path.split("/")) or "%" in path or "\\" in path or "\0" in path:
        raise Permanent(Cause.POLICY_DENIED, f"{shown(url.geturl())}: its path is not plain")
    return path


def _host(url: SplitResult) -> str:
    return (url.hostname or "").rstrip(".").lower()


def _port(url: SplitResult) -> int | None:
    return None if url.port == PORTS.get(url.scheme) else url.port


def _place(listed: str) -> Place:
    try:
        url = _parsed(listed)
        path = _path(url)
    except Permanent as error:
        raise SettingsError(f"ingest.fetch_allow: {listed}: {error.detail}") from None
    if url.scheme not in (*PORTS, *OBJECT_STORES, "file") or (url.scheme != "file" and not url.hostname):
        raise SettingsError(f"ingest.fetch_allow: {listed}: http, https, file, s3, gs or az and a host are wanted")
    return Place(url.scheme, _host(url), _port(url), path)


def _network(listed: str) -> Any:
    try:
        return ipaddress.ip_network(listed)
    except ValueError:
        raise SettingsError(
            f"ingest.fetch_allow: {listed}: an address (https://host/folder/) or a network is wanted"
        ) from None
