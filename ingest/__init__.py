"""A file becomes pages: sniffed, opened in a sandbox, rendered or read from its text layer."""
