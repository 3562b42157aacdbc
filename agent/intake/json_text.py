"""Lists and objects that arrive as text: JSON inside a JSON string, or a text that was sent letter by letter."""

import json
from typing import Any

MIN_LETTERS = 3


def unwrapped(value: Any) -> Any:
    """The list or object that a text stands for; everything else as it is."""
    if isinstance(value, list) and len(value) >= MIN_LETTERS and all(isinstance(v, str) and len(v) == 1 for v in value):
        value = "".join(value)
    if not isinstance(value, str) or value.strip()[:1] not in ("[", "{"):
        return value
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return read if isinstance(read, list | dict) else value
