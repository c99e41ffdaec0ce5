"""The known name that is nearest to an unknown one: every error about a name gives it."""

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """Of names that nobody knows in advance to be alike: there is always one."""
    import difflib  # only an error needs it

    return next(iter(difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.0)), "")
