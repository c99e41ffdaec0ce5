"""Uploads by anybody with a client of the log: checked, and where one announces a file, that file is fetched first."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from urllib.parse import unquote

from folio.blobs import Blobs
from folio.claims import SHA256
from folio.errors import Cause, Permanent
from folio.ids import doc_id_of, doc_of, tenant_of
from folio.log import Entry, Record
from folio.outputs import Output
from folio.records import Upload
from folio.stage import Stage
from folio.topics import UPLOADS
from ingest.fetch import Fetcher, shown


def announcing(stage: Stage, fetcher: Fetcher | None, blobs: Blobs) -> Stage:
    """The ingest stage, for records that name an address instead of bytes; no fetcher: nothing may be fetched.

    An announcement with the file's sha256 is read at once. One without is answered by an upload of its own, which says
    what its bytes are: whoever draws its pages later has to know. The answer has the announcement's version, so what
    was said of the document meanwhile, its deletion say, is newer.
    """

    async def process(entry: Entry) -> AsyncGenerator[Output, None]:
        upload = checked(Upload.of(entry))
        if upload.fetch and not (upload.sha256 and await blobs.exists(upload.sha256)):
            there = await fetched(upload, fetcher, blobs)
            if not upload.sha256:
                answer = there.model_copy(update={"answers": upload.version_in(entry)})
                yield UPLOADS, Record(key=upload.doc, value=answer.encode())
                return
        async with aclosing(stage.process(entry)) as outputs:
            async for output in outputs:
                yield output

    return replace(stage, process=process)


def checked(upload: Upload) -> Upload:
    """Raises Permanent(schema_invalid) for a record that is of no document, or names no bytes."""
    try:
        doc_of(tenant_of(upload.doc), doc_id_of(upload.doc))
    except ValueError as error:
        raise Permanent(Cause.SCHEMA_INVALID, f"doc: {error}") from None
    if upload.deleted or upload.cancelled:
        return upload.model_copy(update={"fetch": ""})
    if not SHA256.fullmatch(upload.sha256) and (upload.sha256 or not upload.fetch):
        raise Permanent(Cause.SCHEMA_INVALID, "sha256: 64 hex digits are wanted, or an address in fetch")
    return upload


async def fetched(upload: Upload, fetcher: Fetcher | None, blobs: Blobs) -> Upload:
    """The upload with its bytes in the blob store. Raises Permanent when they may not, or do not, come."""
    if fetcher is None:
        raise Permanent(Cause.POLICY_DENIED, "nothing may be fetched: ingest.fetch_allow is empty")
    async with fetcher.fetched(upload.fetch) as path:
        size, found = path.stat().st_size, await blobs.put_file(path)
    if upload.sha256 and upload.sha256 != found:
        raise Permanent(Cause.CORRUPT, "what lies at the address is not the file that sha256 names")
    place = shown(upload.fetch)
    name = upload.name or unquote(place.rpartition("/")[2])
    told = {"sha256": found, "size_bytes": size, "fetch": "", "name": name, "uri": upload.uri or place}
    return upload.model_copy(update=told)
