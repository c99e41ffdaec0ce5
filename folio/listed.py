"""A setting that is a list, as folio.toml has it and as one variable says it."""

import json
import re
from typing import Any


def listed(given: Any) -> Any:
    """`a,b`, `a b` or `["a", "b"]` (where a comma or a blank is part of a value) as a list; anything else as it is.

    Raises ValueError for what begins as JSON and is none.
    """
    if not isinstance(given, str):
        return given
    if not given.lstrip().startswith("["):
        return [one for one in re.split(r"[,\s]+", given) if one]
    try:
        return json.loads(given)
    except ValueError as error:
        raise ValueError(f'it begins with [ and is no JSON list ({error}): write a,b or ["a", "b"]') from None
