"""How requests are worded: files, quoted texts and numbers of words in English sentences. Bounded and linear."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_TEXT_CHARS = 40_000  # of a brief that is read for literals

_ENDINGS = (
    "html?|css|m?js|json|geojson|csv|tsv|txt|md|svg|png|jpe?g|gif|webp|ico|pdf|xml|ya?ml|py|ipynb|xlsx?|zip|toml|wasm"
    "|mp3|mp4|wav|webm|webmanifest|tsx?|jsx|sh|sql|ics|rss|log"
)
_FOLDER = r"\.?[A-Za-z0-9_][\w-]{0,60}/"
_STEM = r"[A-Za-z0-9_][\w-]{0,80}(?:\.[\w-]{1,30}){0,3}"
FILE = re.compile(
    rf"(?<![\w/@.:%>}}*$#?=&-])(?:{_FOLDER}){{0,5}}{_STEM}\.(?:{_ENDINGS})"  # no part of an address or a template
    r"(?![\w<{*(@/-])(?!\.\w)"
)
SENTENCE_END = re.compile(r"\n|[.;!?](?=\s)")
QUOTED = r"(?P<mark>[\"'`])(?P<quoted>[^\n]{1,200}?)(?P=mark)(?!\w)"

_URL = re.compile(r"(?:https?:)?//[^\s\"'`<>)]+|\bwww\.[^\s\"'`<>)]+|data:[^\s\"'`]+")
_TYPOGRAPHY = str.maketrans("\u201c\u201d\u201e\u2018\u2019\u2013\u2014\u00a0\r", '"""\'\'-- \n')
_ITEM = re.compile(r"\n\s*\n|\n\s*(?:[-*•]|\d{1,2}[.)])\s+")
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: number for number, word in enumerate(_WORDS, 1)}
NUMBER = rf"(?:\d{{1,6}}|{'|'.join(_NUMBERS)})"
_N = rf"({NUMBER})"
_GAP = r"[\s-]+words?\b"
_RANGE = re.compile(rf"\b{_N}\s*(?:-|to|and)\s*{_N}{_GAP}", re.I)
_LEAST = re.compile(rf"\b(?:at least|no fewer than|no less than|minimum(?: of)?)\s+{_N}{_GAP}", re.I)
_MOST = re.compile(rf"\b(?:at most|up to|no more than|not more than|maximum(?: of)?|within)\s+{_N}{_GAP}", re.I)
_BELOW = re.compile(rf"\b(?:fewer than|less than|under|below)\s+{_N}{_GAP}", re.I)
_EXACT = re.compile(rf"\b(?:exactly|precisely)\s+{_N}{_GAP}", re.I)
_FEW = re.compile(rf"\bin(?: just| only)?\s+(\d|{'|'.join(_NUMBERS)}){_GAP}(?!\s+or\b)", re.I)  # of 300 it means about


@dataclass(frozen=True)
class Words:
    """How many words a text may have."""

    least: int
    most: int

    def __str__(self) -> str:
        return str(self.least) if self.least == self.most else f"{self.least} to {self.most}"


def plain(text: str) -> str:
    """With plain quotes and dashes."""
    return text[:MAX_TEXT_CHARS].translate(_TYPOGRAPHY)


def clean(text: str) -> str:
    """Plain, and without addresses: what stands in them is not named by the text."""
    return _URL.sub(" ", plain(text))


def file_names(text: str) -> Iterator[str]:
    return (match[0] for match in FILE.finditer(text))


def items(text: str) -> list[str]:
    """Paragraphs and list items: what stands in one belongs together."""
    return [chunk for chunk in _ITEM.split(f"\n{text}") if chunk.strip()]


def words_asked(text: str) -> Words | None:
    """The number of words that a sentence asks for."""
    if match := _RANGE.search(text):
        return Words(_number(match[1]), _number(match[2]))
    if match := _EXACT.search(text) or _FEW.search(text):
        return Words(_number(match[1]), _number(match[1]))
    if match := _LEAST.search(text):
        return Words(_number(match[1]), 10**9)
    if match := _MOST.search(text):
        return Words(0, _number(match[1]))
    if match := _BELOW.search(text):
        return Words(0, _number(match[1]) - 1)
    return None


def _number(word: str) -> int:
    return _NUMBERS[word.lower()] if word.lower() in _NUMBERS else int(word)
