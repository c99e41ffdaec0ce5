"""Files that break readers, and small honest ones, made on the spot for the tests of ingest."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pillow_heif
from PIL import Image, ImageDraw
from reportlab.lib import pdfencrypt
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

PROSE = (
    "Harbour dues rose again in the second quarter because more grain ships called than in any spring since the "
    "new quay was opened. The port authority keeps the old tariff for coasters and small fishing boats."
)


def pdf(path: Path, *pages: Callable[[Canvas], None], size: tuple[float, float] = (595, 842)) -> Path:
    """A PDF with one drawn page for every function."""
    canvas = Canvas(str(path), pagesize=size)
    for draw in pages:
        draw(canvas)
        canvas.showPage()
    canvas.save()
    return path


def prose(canvas: Canvas, *, top: float = 760, left: float = 72, lines: int = 8, chars: int = 80) -> None:
    """Running text, 10 on 12 point."""
    text = (PROSE + " ") * 20
    canvas.setFont("Helvetica", 10)
    at = 0
    for line in range(lines):
        end = text.rfind(" ", at, at + chars)
        canvas.drawString(left, top - 12 * line, text[at:end])
        at = end + 1


def raw_pdf(path: Path, *objects: bytes, root: int = 1) -> Path:
    """A PDF from numbered objects, with a proper cross-reference table."""
    out = io.BytesIO()
    out.write(b"%PDF-1.7\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    xref = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    for offset in offsets:
        out.write(b"%010d 00000 n \n" % offset)
    out.write(b"trailer\n<</Size %d/Root %d 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, root, xref))
    path.write_bytes(out.getvalue())
    return path


def _one_page(path: Path, page: bytes, content: bytes) -> Path:
    return raw_pdf(
        path,
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<<>>%s>>" % page,
        content,
    )


def vast_page(path: Path) -> Path:
    """14,400 points a side with a drawn diagonal: 900 megapixels at 150 dots an inch, in half a kilobyte."""
    body = b"0 0 m 14400 14400 l S"
    return _one_page(path, b"/MediaBox[0 0 14400 14400]", b"<</Length %d>>stream\n%s\nendstream" % (len(body), body))


def sliver(path: Path) -> Path:
    body = b"0 0 m 9000 1 l S"
    return _one_page(path, b"/MediaBox[0 0 9000 1]", b"<</Length %d>>stream\n%s\nendstream" % (len(body), body))


def flate_bomb(path: Path, megabytes: int) -> Path:
    """A small file whose one content stream unpacks to many megabytes of drawing."""
    packer = zlib.compressobj(9)
    line = b"0 0 m 600 800 l S 1 0 m 600 799 l S\n" * 29127  # 1 MiB
    body = b"".join(packer.compress(line) for _ in range(megabytes)) + packer.flush()
    content = b"<</Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (len(body), body)
    return _one_page(path, b"/MediaBox[0 0 600 800]", content)


def no_pages(path: Path) -> Path:
    return raw_pdf(path, b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 0>>")


def encrypted(path: Path, *, user: str) -> Path:
    """With an empty user password anybody may read it; with another one, nobody."""
    lock = pdfencrypt.StandardEncryption(user, ownerPassword="owner", canPrint=0)
    canvas = Canvas(str(path), encrypt=lock)
    prose(canvas)
    canvas.showPage()
    canvas.save()
    return path


def scan(canvas: Canvas, *, invisible: bool = False) -> None:
    """A page that is one picture, with or without the search layer that OCR programs put under it."""
    picture = Image.new("RGB", (600, 850), "white")
    ImageDraw.Draw(picture).text((80, 100), PROSE[:60], fill="black")
    if invisible:
        text = canvas.beginText(72, 700)
        text.setTextRenderMode(3)
        for at in range(0, 400, 80):
            text.textLine((PROSE * 3)[at : at + 80])
        canvas.drawText(text)
    canvas.drawImage(ImageReader(picture), 0, 0, 595, 842)


def huge_png(path: Path) -> Path:
    """A header that promises 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def image(path: Path, *, size: tuple[int, int] = (300, 200), mode: str = "RGB", **save: object) -> Path:
    """White with a black square in the top left corner."""
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).rectangle((0, 0, size[0] // 4, size[1] // 4), fill="black")
    if path.suffix in (".heic", ".heif"):
        pillow_heif.register_heif_opener()
    picture.convert(mode).save(path, **save)  # type: ignore[arg-type]  # Pillow's save takes what each format knows
    return path


def turned_jpeg(path: Path) -> Path:
    """EXIF orientation 6: to be shown turned by 90 degrees clockwise, so the square is in the top right corner."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return image(path, exif=exif, quality=95)


def frames_tiff(path: Path, frames: int) -> Path:
    pictures = [Image.new("L", (120 + 10 * at, 90), 255 - at) for at in range(frames)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    return path


def sparse(path: Path, size: int, begin: bytes = b"a") -> Path:
    """A file of any size that takes no room on the disk."""
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(size)
    return path


def wrapped(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def cut_off(path: Path, size: int | None = None) -> Path:
    """What is left when a download stops: half, or so many bytes."""
    path.write_bytes(path.read_bytes()[: size or path.stat().st_size // 2])
    return path


def grown(path: Path, size: int) -> Path:
    """The same small picture with a header that promises `size` by `size` pixels; heic, avif, jp2, gif, tiff or bmp."""
    image(path, size=(64, 64))
    body = path.read_bytes()
    old, new = struct.pack(">II", 64, 64), struct.pack(">II", size, size)
    if path.suffix == ".gif":
        body = body[:6] + struct.pack("<HH", size, size) + body[10:]
    elif path.suffix == ".bmp":
        body = body[:18] + struct.pack("<ii", size, size) + body[26:]
    elif path.suffix == ".tiff":
        for tag in (256, 257):  # width, height
            body = body.replace(struct.pack("<HHII", tag, 4, 1, 64), struct.pack("<HHII", tag, 4, 1, size))
            body = body.replace(struct.pack("<HHIHH", tag, 3, 1, 64, 0), struct.pack("<HHII", tag, 4, 1, size))
    else:
        body = body.replace(old, new)
    path.write_bytes(body)
    return path


def looping_tiff(path: Path) -> Path:
    """A frame whose next frame is itself."""
    image(path, size=(30, 20))
    body = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", body, 4)
    (entries,) = struct.unpack_from("<H", body, first)
    struct.pack_into("<I", body, first + 2 + 12 * entries, first)
    path.write_bytes(body)
    return path


def many_frames_tiff(path: Path, frames: int) -> Path:
    """Any number of frames of 8 x 8 grey pixels, all of which share the same ones: 114 bytes a frame."""
    size, out = 2 + 12 * 9 + 4, b"II*\0" + struct.pack("<I", 8 + 64) + b"\x80" * 64
    for at in range(frames):
        after = len(out) + size if at + 1 < frames else 0
        entries = [(256, 3, 8), (257, 3, 8), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
        entries += [(278, 3, 8), (279, 4, 64)]
        table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
        out += struct.pack("<H", 9) + table + struct.pack("<I", after)
    return wrapped(path, out)


def tiled_tiff(path: Path) -> Path:
    """128 x 64 grey pixels in two tiles, the left one black; Pillow writes only strips, so this is made by hand."""
    entries = [(256, 3, 1, 128), (257, 3, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
    entries += [(322, 3, 1, 64), (323, 3, 1, 64)]
    after = 8 + 2 + 12 * (len(entries) + 2) + 4
    entries += [(324, 4, 2, after), (325, 4, 2, after + 8)]
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    tiles = struct.pack("<4I", after + 16, after + 16 + 4096, 4096, 4096) + b"\0" * 4096 + b"\xff" * 4096
    return wrapped(path, b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + table + b"\0" * 4 + tiles)


def many_pages(path: Path, count: int) -> Path:
    """A PDF that names one page many times, in a few bytes for each."""
    kids = b" ".join([b"3 0 R"] * count)
    return raw_pdf(
        path,
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, count),
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]>>",
    )


def looping_pages(path: Path) -> Path:
    """A page tree that holds itself."""
    return raw_pdf(
        path, b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>", b"<</Type/Nothing>>"
    )


def animation(path: Path, frames: int = 3) -> Path:
    pictures = [Image.new("RGB", (60, 40), (80 * at, 0, 0)) for at in range(frames)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    return path


def docx(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", f"<w:document>{PROSE}</w:document>")
    return path


def utf16_garbage(path: Path) -> Path:
    """A byte order mark, and halves of surrogate pairs that belong to nothing."""
    return wrapped(path, b"\xff\xfe" + struct.pack("<500H", *[0xD800 + at for at in range(500)]))
