"""Pictures in a message: shown to a model that sees, taken out again for one that does not. Pure."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from agent.records import Json

Content: TypeAlias = str | Sequence[Json]  # of a message in OpenAI's chat format

PICTURE_CHARS = 4_000  # a picture costs 800 to 1,600 tokens: as much as so much text


def shown(text: str, pictures: Mapping[str, str]) -> Content:
    """Each picture (name → data URI) behind its name, then the text."""
    parts = [part for name, uri in pictures.items() for part in (_words(f"{name}:"), _picture(uri))]
    return [*parts, _words(text)] if parts else text


def unseen(content: Content) -> Content:
    """The text alone, as it was before `shown`; what holds no picture stays as it is."""
    if isinstance(content, str):
        return content
    pictures = {at for at, part in enumerate(content) if _is_picture(part)}
    named = {at - 1 for at in pictures}
    texts = [part["text"] for at, part in enumerate(content) if at not in pictures | named]
    return "\n\n".join(texts) if pictures else content


def content_chars(content: Content) -> int:
    """How long it is, roughly."""
    if isinstance(content, str):
        return len(content)
    return sum(PICTURE_CHARS if _is_picture(part) else len(part.get("text") or "") for part in content)


def _is_picture(part: Json) -> bool:
    return bool(part["type"] == "image_url")


def _picture(uri: str) -> Json:
    return {"type": "image_url", "image_url": {"url": uri}}


def _words(text: str) -> Json:
    return {"type": "text", "text": text}
