"""Where things lie in a data folder; importing this costs nothing."""

LOG_FILE = "log.sqlite"
LEDGER_FILE = "ledger.sqlite"
BLOBS_FOLDER = "blobs"
INDEX_FOLDER = "index"
INCOMING = "incoming-"
"""Uploads on their way into the blob store."""
