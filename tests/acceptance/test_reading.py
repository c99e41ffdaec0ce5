"""What people take out again: passages by filter, pages as text and picture, the box of a hit, whole documents."""

import json
import stat
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from tests.acceptance.conftest import FOLIO, Desk
from tests.pages import encrypted_pdf, report_pdf

RED = (213, 0, 0)


def illustrated_pdf(path: Path) -> Path:
    """A page with words around a drawing that nobody could take for text."""
    canvas = Canvas(str(path), pagesize=A4, invariant=1)
    canvas.setFont("Helvetica", 11)
    for line in range(12):
        canvas.drawString(60, 780 - line * 15, f"The crane of berth {line} lifts cargo from the vessel at every tide.")
    picture = BytesIO()
    Image.linear_gradient("L").convert("RGB").save(picture, "PNG")
    canvas.drawImage(ImageReader(picture), 150, 250, width=300, height=300)
    canvas.drawString(150, 230, "Figure 1: The crane at dusk")
    canvas.showPage()
    canvas.save()
    return path


@pytest.fixture(scope="module")
def library(served: Desk, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A few documents of several kinds, read once for all tests here, none of which changes them."""
    folder = tmp_path_factory.mktemp("library")
    report_pdf(folder / "report.pdf", pages=4, special={3: "The pump seal has part number PS-4471."})
    served.ok("add", str(folder / "report.pdf"), "--meta", "year=2024", "--meta", "department=legal")
    illustrated_pdf(folder / "illustrated.pdf")
    (folder / "notes.md").write_text("# Lights\n\nThe lighthouse keeper was called Ada.\n\n# Pumps\n\nA pump seal.\n")
    encrypted_pdf(folder / "locked.pdf")
    rest = ("illustrated.pdf", "notes.md", "locked.pdf")
    served.ok("add", *(str(folder / name) for name in rest), "--password", "-", stdin=b"secret\n")
    return served


def documents(hits: list[dict[str, Any]]) -> set[str]:
    return {hit["document"] for hit in hits}


def test_a_search_is_narrowed_by_what_was_given(library: Desk) -> None:
    def found(*options: str) -> set[str]:
        return documents(library.search("pump seal", "--mode", "lexical", *options))

    assert found() == {"report.pdf", "notes.md"}
    assert found("--document", "notes.md") == {"notes.md"}
    assert found("--document", "notes.md", "--document", "report.pdf") == {"report.pdf", "notes.md"}
    assert found("--source", "report.pdf") == {"report.pdf"}
    assert found("--meta", "year=2024") == {"report.pdf"}
    assert found("--meta", "year=2024", "--meta", "department=sales") == set()
    assert found("--page", "2-") == {"report.pdf"}
    assert found("--page", "4") == set()
    assert found("--kind", "table") == set()
    assert found("--since", "1h") == {"report.pdf", "notes.md"}
    assert found("--until", "2020-01-31") == set()
    assert "filters" in library.ok("search", "pump", "--until", "2020-01-31").out


def test_a_hit_says_how_it_was_found_and_what_stands_around_it(library: Desk) -> None:
    options = ("--explain", "--neighbours", "1", "-k", "1")
    (hit,) = library.search("PS-4471", *options)
    assert hit["explanation"]["lexical_rank"] == 1
    assert hit["before"]
    assert hit["metadata"] == {"year": 2024, "department": "legal"}
    shown = library.ok("search", "PS-4471", *options).out
    assert "by words: rank 1" in shown
    assert "year=2024" in shown
    assert "Lights" in library.ok("search", "lighthouse keeper", "--section", "-k", "1").out


def test_a_search_names_what_does_not_exist_and_what_is_far_off(library: Desk) -> None:
    ran = library.folio("search", "pump", "--document", "nosuch.pdf")
    assert (ran.code, "there is no document 'nosuch.pdf'" in ran.err) == (1, True)
    assert "nearest in meaning" in library.ok("search", "zebra").err
    found = library.ok("search", "PS-4471")
    assert "nearest in meaning" not in found.err
    assert "and words" in found.out.splitlines()[0]
    assert library.search("PS-4471", "-k", "1")[0]["explanation"] is None, "asked for with --explain only"


def test_an_index_for_another_embedder_is_filled_before_it_is_asked(desk: Desk, tmp_path: Path) -> None:
    desk.ok("add", str(report_pdf(tmp_path / "a.pdf", pages=1, special={1: "Alpha is the first letter."})))
    desk.environment["FOLIO_INDEXER__EMBEDDER"] = "none"
    first = desk.ok("search", "alpha letter", "-k", "1")
    assert "Alpha" in first.out
    assert "filling the index" in first.err
    assert "filling" not in desk.ok("search", "alpha letter").err, "once"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--page", "7-3"), "runs forwards"),
        (("--since", "yesterday"), "7d"),
        (("--kind", "tables"), "table"),
        (("--meta", "year"), "KEY=VALUE"),
        (("--mode", "magic"), "hybrid"),
    ],
)
def test_an_option_that_means_nothing_is_a_usage_error(library: Desk, options: tuple[str, ...], said: str) -> None:
    ran = library.folio("search", "pump", *options)
    assert ran.code == 2
    assert said in ran.err


def test_a_page_is_printed_as_markdown_and_as_json(library: Desk) -> None:
    assert "PS-4471" in library.ok("page", "report.pdf", "3").out
    page = library.ok("page", "report.pdf", "3", "--json").json()
    assert (page["page"], page["status"], page["source"]) == (3, "ok", "text_layer")
    start, end = page["blocks"][0]["start"], page["blocks"][0]["end"]
    assert "chapter 3" in page["markdown"][start:end]
    assert "Ada" in library.ok("page", "notes.md", "1").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("report.pdf", "9"), "has 4"),
        (("nothing.pdf", "1"), "no document"),
        (("notes.md", "1", "--image", "x.jpg"), "no picture: folio page"),
    ],
)
def test_a_page_that_cannot_be_shown_says_why(library: Desk, arguments: tuple[str, ...], said: str) -> None:
    ran = library.folio("page", *arguments)
    assert (ran.code, said in ran.err) == (1, True), ran
    assert not Path("x.jpg").exists()


def test_the_picture_of_a_page_carries_blocks_and_hits(library: Desk, tmp_path: Path) -> None:
    def colours(*options: str) -> set[Any]:
        library.ok("page", "report.pdf", "3", "--image", str(tmp_path / "p.jpg"), *options)
        with Image.open(tmp_path / "p.jpg") as picture:
            small = picture.quantize(16).convert("RGB").getcolors()
        return {colour for _, colour in small or ()}

    assert all(max(colour) - min(colour) < 40 for colour in colours()), "black on white"
    assert any(max(colour) - min(colour) > 80 for colour in colours("--boxes"))
    library.search("PS-4471", "--mode", "lexical", "-k", "1")
    assert any(red > 150 and green < 80 for red, green, _ in colours("--hit"))
    assert library.folio("page", "report.pdf", "3", "--boxes").code == 2


def test_a_picture_goes_to_stdout_and_to_no_place_that_is_none(library: Desk, tmp_path: Path) -> None:
    asked = [*library_picture(library), "--image", "-"]
    done = subprocess.run(asked, env=library.environment, capture_output=True, check=True, timeout=90)
    with Image.open(BytesIO(done.stdout)) as picture:
        assert picture.format == "JPEG"
    for place, said in ((tmp_path / "page.png", ".jpg"), (tmp_path / "none" / "page.jpg", f"no folder {tmp_path}")):
        ran = library.folio("page", "report.pdf", "1", "--image", str(place))
        assert (ran.code, said in " ".join(ran.err.split())) == (2, True), ran.err
        assert not place.exists()


def library_picture(desk: Desk) -> list[str]:
    return [FOLIO, "page", "report.pdf", "1", "--data", str(desk.data)]


def test_open_shows_the_page_of_a_numbered_hit(library: Desk, tmp_path: Path) -> None:
    hits = library.search("PS-4471 harbour", "--mode", "lexical", "--source", "report.pdf", "-k", "2")
    place = Path(library.ok("open", "1").out.strip())
    assert place.parent == library.data / "pictures"
    with Image.open(place) as picture:
        box = hits[0]["boxes"][0]["box"]
        left, top = round(box["x0"] * picture.width), round(box["y0"] * picture.height)
        bottom = round(box["y1"] * picture.height)
        edge = picture.convert("RGB").crop((left - 6, top, left + 6, bottom))
        pixels = [edge.getpixel((x, y)) for x in range(edge.width) for y in range(edge.height)]
    assert sum(red > 150 > green for red, green, _ in pixels) >= edge.height, "the box's left edge is drawn in red"
    answer = library.ok("open", hits[1]["chunk_id"][:13], "-o", str(tmp_path / "two.jpg"), "--json").json()
    assert (answer["hit"], answer["document"]) == (2, hits[1]["document"])
    assert (tmp_path / "two.jpg").read_bytes().startswith(b"\xff\xd8")
    for wanted in ("7", "no-such-id"):
        assert "last search" in library.folio("open", wanted).err
    assert library.folio("open", "1", "--page", "4").code == 2
    kept = library.data / "last-search.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600, "what somebody asked for is theirs"


def test_an_encrypted_page_is_drawn_with_its_password_only(library: Desk, tmp_path: Path) -> None:
    assert "nobody reads this" in library.ok("page", "locked.pdf", "1").out, "its text was read"
    image = tmp_path / "locked.jpg"
    ran = library.folio("page", "locked.pdf", "1", "--image", str(image), stdin=b"")
    assert (ran.code, "--password" in ran.err, image.exists()) == (1, True, False)
    library.ok("page", "locked.pdf", "1", "--image", str(image), "--password", "-", stdin=b"secret\n")
    assert image.exists()


def test_a_document_is_exported_as_markdown_with_its_figures_and_as_json(library: Desk, tmp_path: Path) -> None:
    library.ok("export", "illustrated.pdf", str(tmp_path / "out"))
    folder = tmp_path / "out" / "illustrated.pdf"
    text = (folder / "document.md").read_text()
    assert text.startswith("<!-- page 1 -->")
    assert "![](figures/page-1-1.jpg)" in text
    with Image.open(folder / "figures" / "page-1-1.jpg") as figure:
        assert abs(figure.width / figure.height - 1) < 0.2, "the drawing is square"
        low, high = figure.convert("L").getextrema()
    assert high - low > 150, "and a gradient"
    facts = json.loads((folder / "document.json").read_text())
    assert (facts["document"], facts["complete"], len(facts["pages"])) == ("illustrated.pdf", True, 1)
    assert any(block.get("picture") == "figures/page-1-1.jpg" for block in facts["pages"][0]["blocks"])
    assert sorted(path.name for path in folder.iterdir()) == ["document.json", "document.md", "figures"]


def test_everything_is_exported_and_a_foreign_folder_is_left_alone(library: Desk, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "notes.md").mkdir(parents=True)
    (out / "notes.md" / "mine.txt").write_text("mine")
    ran = library.folio("export", "--all", str(out))
    assert ran.code == 3
    assert "notes.md: failed" in ran.err
    assert [path.name for path in (out / "notes.md").iterdir()] == ["mine.txt"]
    names = {path.name for path in out.iterdir()}
    assert names == {"report.pdf", "illustrated.pdf", "locked.pdf", "notes.md"}, "and nothing unfinished"
    assert json.loads((out / "report.pdf" / "document.json").read_text())["metadata"]["year"] == 2024
    again = library.ok("export", "report.pdf", "locked.pdf", str(out), "--json").json()
    assert [one["pages"] for one in again["documents"]] == [4, 1]
    assert library.folio("export", "nothing.pdf", str(out)).code == 1
    assert library.folio("export", "--all", "report.pdf", str(out)).code == 2
