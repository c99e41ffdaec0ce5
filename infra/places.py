"""Where things lie in a data folder; importing this costs nothing."""

LOG_FILE = "log.sqlite"
LEDGER_FILE = "ledger.sqlite"
BLOBS_FOLDER = "blobs"
INDEX_FOLDER = "index"
LAST_SEARCH_FILE = "last-search.json"
"""The hits that `folio open` numbers: written by the command line, for its user alone."""
PICTURES_FOLDER = "pictures"
"""What `folio open` wrote."""
INCOMING = "incoming-"
"""Uploads on their way into the blob store."""
PRIVATE = 0o077
"""The umask of a process that keeps state: documents are their owner's only."""
