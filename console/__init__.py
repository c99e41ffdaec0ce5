"""The doors people use: command line, HTTP API and its client."""
