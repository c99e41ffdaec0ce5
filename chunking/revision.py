"""Which chunker this is; by itself, because whoever only names an index need not import what cuts."""

REVISION = "2"
"""Changes with every change of what is embedded: another revision is another generation of the index."""
