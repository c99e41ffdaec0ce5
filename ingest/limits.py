"""How much one uploaded file may cost: bytes, pages, pixels, memory and seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Values of the settings section `ingest`; the sandbox child gets them as they are."""

    pages_max: int = 5000
    file_bytes_max: int = 512 << 20
    pixels_max: int = 64_000_000
    memory_bytes_max: int = 2 << 30
    page_seconds_max: float = 60.0
    document_seconds_max: float = 3600.0
    edge_pixels: int = 1920
    jpeg_quality: int = 85
    pdf_engine: str = "auto"
