"""What a scanner and a telephone do to paper: skew, noise, blur, shade and perspective, the same on every run."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Corner = tuple[float, float]


def scanned(page: Image.Image, *, degrees: float, seed: int) -> Image.Image:
    """Grey, slightly turned, a little soft, with grain and an uneven lamp."""
    turned = page.convert("L").rotate(degrees, Image.Resampling.BICUBIC, fillcolor=247)
    soft = np.asarray(turned.filter(ImageFilter.GaussianBlur(0.7)), dtype=np.float32)
    grain = np.random.default_rng(seed).normal(0, 7, soft.shape)
    lamp = np.linspace(-6, 5, soft.shape[1])[None, :]
    return _picture(soft * 0.94 + 8 + grain + lamp)


def photographed(
    page: Image.Image, *, corners: tuple[Corner, Corner, Corner, Corner], size: tuple[int, int], seed: int
) -> Image.Image:
    """The page on a wooden table, its corners (clockwise from the top left) where the camera saw them."""
    generator = np.random.default_rng(seed)
    table = _wood(size, generator)
    paper = page.convert("RGB").transform(
        size, Image.Transform.PERSPECTIVE, _coefficients(corners, page.size), Image.Resampling.BICUBIC
    )
    sheet = Image.new("L", page.size, 255).transform(
        size, Image.Transform.PERSPECTIVE, _coefficients(corners, page.size)
    )
    shadow = Image.new("L", size, 0)
    shadow.paste(110, (14, 18), sheet.crop((0, 0, size[0] - 14, size[1] - 18)))
    table = Image.composite(Image.new("RGB", size, "#241a12"), table, shadow.filter(ImageFilter.GaussianBlur(16)))
    table.paste(paper, (0, 0), sheet)
    across, down = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    light = (1.04 - 0.30 * across - 0.14 * down)[:, :, None]
    pixels = np.asarray(table.filter(ImageFilter.GaussianBlur(0.6)), dtype=np.float32)
    return _picture(pixels * light + generator.normal(0, 4, (size[1], size[0], 1)))


def _wood(size: tuple[int, int], generator: np.random.Generator) -> Image.Image:
    rings = np.sin(np.linspace(0, 60, size[1])[:, None] + 1.6 * np.sin(np.linspace(0, 5, size[0]))[None, :])
    grain = rings * 9 + generator.normal(0, 3, (size[1], size[0]))
    return _picture(np.array([126, 92, 62], dtype=np.float32) + grain[:, :, None])


def _coefficients(corners: tuple[Corner, Corner, Corner, Corner], size: tuple[int, int]) -> list[float]:
    """The eight numbers that Pillow needs to find, for every point of the photograph, its point on the page."""
    width, height = size
    rows, wanted = [], []
    for (x, y), (u, v) in zip(corners, [(0, 0), (width, 0), (width, height), (0, height)], strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    solved: NDArray[np.float64] = np.linalg.solve(np.array(rows, dtype=float), np.array(wanted, dtype=float))
    return [float(number) for number in solved]


def _picture(pixels: "NDArray[np.float32]") -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def jpeg(picture: Image.Image, *, quality: int, exif: Image.Exif | None = None) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality, optimize=True, **({"exif": exif} if exif else {}))
    return out.getvalue()
