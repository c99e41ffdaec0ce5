"""Adapters that all share, and the wiring that knows every class."""
