"""Chunks become searchable: embedded, swapped in by revision, searched without a mix."""
