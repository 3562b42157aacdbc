r"""A file in another format, carried over by code: the same bytes every time, and no cell changed.

Which kind becomes which stands with each kind. The rules:

- csv and tsv are read by the rules of `delimited`, a sheet by those of `spreadsheets.csv_from_xlsx`; all of their rows
  become csv, from the one with the column names on where `header` names it.
- Tables become JSON as a list of objects, a row a line, the keys from the row that names the columns, which `header`
  names or `tables.find_header` finds: a second `id` is `id_2`, a column without a name `column_3`. An empty cell is
  null. From a sheet, numbers and booleans are such and dates are text. From csv, a cell is a number if JSON writes it
  the same way, digit for digit; but a column with a number that JSON or JavaScript would not give back (`007`, `+5`,
  ` 5`, `9007199254740993`) is text throughout. All else is text.
- JSON, lines of JSON and YAML follow `structured`, PDF `pdfs.text_from_pdf`, pictures `images.converted_image`.
- Where it is not certain which row names the columns, or which encoding a text is in, nothing is made: the sentence
  says what to name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from agent.errors import ToolError
from agent.files.base import ConversionOptions, Converter, Kind
from agent.files.kinds import KINDS, ending, is_archive, kind_named, kind_of, unpacked
from agent.files.tables import column_names

EVERY_SHEET = "{sheet}"
MAX_SHEETS = 20


@dataclass(frozen=True)
class Converted:
    files: Mapping[str, bytes]  # by path
    note: str = ""  # what could not be carried over


def convert(name: str, data: bytes, path: str, options: ConversionOptions) -> Converted:
    """The file at `path`, in the format of its ending; one a sheet where `path` holds `{sheet}`. Raises ToolError."""
    if is_archive(data) and not kind_named(name).parts:
        if not (member := unpacked(data, options.part)):
            raise ToolError("an archive is not converted as a whole: name one of its entries in `part`")
        (name, data), options = member, replace(options, part="")
        if ending(name) == ending(path):
            return Converted({path: data})
    kind = _kind_to_convert(name, data)
    converter = _converter(kind, name, path)
    if EVERY_SHEET in path and kind.parts:
        files = _every_part(kind, data, path, converter, options)
    else:
        files = {path: converter(data, options)}
    return Converted(files, kind.caveat(data))


def _kind_to_convert(name: str, data: bytes) -> Kind:
    """That of the bytes; that of the name for what is damaged, which is refused by the one who knows why."""
    found = kind_of(name, data)
    return found if found.conversions else kind_named(name)


def _converter(kind: Kind, name: str, path: str) -> Converter:
    found = kind.conversions.get(ending(path))
    if found is None:
        able = [kind] if kind.conversions else KINDS
        pairs = ", ".join(f"{one.name} to {made}" for one in able for made in one.conversions)
        raise ToolError(f"{name[:80]!r} does not become {path[:80]!r}; there are: {pairs}")
    return found


def _every_part(
    kind: Kind, data: bytes, path: str, converter: Converter, options: ConversionOptions
) -> dict[str, bytes]:
    """One file a sheet, named after it in letters, digits, `.`, `-` and `_`."""
    titles = kind.parts(data) if kind.parts else ()
    if len(titles) > MAX_SHEETS:
        raise ToolError(f"the spreadsheet has {len(titles)} sheets; the limit is {MAX_SHEETS}: name one in `part`")
    stems = column_names([re.sub(r"[^\w.-]+", "_", title).strip("._") for title in titles])
    return {
        path.replace(EVERY_SHEET, stem): converter(data, replace(options, part=title))
        for stem, title in zip(stems, titles, strict=True)
    }
