"""What a model may be asked: the tasks that DeepSeek-OCR was trained on, by name, or a text of one's own."""

import re
from dataclasses import dataclass

from folio.errors import Cause, Permanent, SettingsError
from folio.nearest import nearest

CHARS_MAX = 2000
"""Of a prompt: a longer one would eat the room that the answer needs."""
IMAGE = "<image>"
GROUNDING = "<|grounding|>"
BAR = "[|\uff5c]"
SPECIAL = re.compile(rf"<{BAR}/?[\w\u2581]+{BAR}>|</?(?:image|td|tr)>")
"""What the tokenizer takes for one token, whoever wrote it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """`text` is what the model gets after its image token and a new line; `grounded` says that boxes are expected.

    `warning` is for people: what may go wrong with it.
    """

    name: str
    text: str
    grounded: bool = False
    what: str = ""
    warning: str = ""

    @property
    def whole(self) -> str:
        """With the place of the image, as `LLM.generate` takes it."""
        return f"{IMAGE}\n{self.text}"


MARKDOWN = Prompt(
    "markdown", f"{GROUNDING}Convert the document to markdown.", grounded=True, what="Markdown, a box for every block"
)
LOCATE, FREE = "locate", "free"
UNTRAINED = "a prompt that the model was not trained on: it may answer nothing, or what is not on the page"
PRESETS = {
    preset.name: preset
    for preset in (
        MARKDOWN,
        Prompt("text", "Free OCR.", what="the text alone: no boxes, fewer tokens"),
        Prompt("ocr", f"{GROUNDING}OCR this image.", grounded=True, what="the text, a box for every piece"),
        Prompt("figure", "Parse the figure.", what="a chart as a table, a drawing in words"),
        Prompt("describe", "Describe this image in detail.", what="a description in sentences"),
    )
}
FORMS = (*PRESETS, f"{LOCATE}:", f"{FREE}:")


def prompt(asked: str) -> Prompt:
    """A preset by its name, ``locate: TERM``, or ``free: TEXT``.

    Raises SettingsError for any other name, Permanent(prompt_refused) for one that is empty, too long or no text.
    """
    name, colon, rest = asked.strip().partition(":")
    name = name.strip().lower()
    if colon and name == LOCATE:
        return locate(rest)
    if colon and name == FREE:
        return free(rest)
    if asked.strip().lower() in PRESETS:
        return PRESETS[asked.strip().lower()]
    _check(asked)
    raise SettingsError(
        f"there is no prompt {asked!r}: did you mean {nearest(name, FORMS)}? "
        f"({', '.join(PRESETS)}, {LOCATE}: TERM, {FREE}: TEXT)"
    )


def locate(term: str) -> Prompt:
    """Where something stands on the page. The term is data: tokens that mean something to the model are taken out."""
    plain = " ".join(without_tokens(_checked(term)).split())
    if not plain:
        raise Permanent(Cause.PROMPT_REFUSED, "nothing to locate")
    return Prompt(LOCATE, f"Locate <|ref|>{plain}<|/ref|> in the image.", grounded=True)


def free(text: str) -> Prompt:
    """A prompt of one's own; of the tokens that mean something to the model only a leading <|grounding|> stays."""
    asked = _checked(text).strip()
    plain = without_tokens(asked).strip()
    if not plain:
        raise Permanent(Cause.PROMPT_REFUSED, "the prompt is empty")
    grounded = asked.startswith(GROUNDING)
    return Prompt(FREE, f"{GROUNDING}{plain}" if grounded else plain, grounded, warning=UNTRAINED)


def without_tokens(text: str) -> str:
    """Taken out until none is left: what is put together by taking one out, goes too."""
    before = ""
    while before != text:
        before, text = text, SPECIAL.sub("", text)
    return text


def _checked(text: str) -> str:
    _check(text)
    return text


def _check(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Permanent(Cause.PROMPT_REFUSED, "the prompt is not UTF-8") from None
    if len(text) > CHARS_MAX:
        raise Permanent(Cause.PROMPT_REFUSED, f"a prompt of {len(text)} characters, at most {CHARS_MAX}")
