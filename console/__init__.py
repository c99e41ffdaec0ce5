"""The doors people use: command line, HTTP API and its client."""

import signal
import sys

if sys.argv[0].rpartition("/")[2] == "folio":
    # Importing the command takes a quarter of a second: a Ctrl-C in it ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
