"""folio's words and its waist: what travels, where it rests, and the one loop that moves it."""

__version__ = "0.1.0"
