"""The files of a site in the making: immutable, safe paths only, bounded sizes."""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import MappingProxyType

from agent.errors import ToolError

INDEX = "index.html"
MAX_FILE_BYTES = 1_000_000  # what the model may write into one file; attachments are bounded at the door
MAX_DATA_BYTES = 20_000_000  # what code carries over for it: a conversion, a fetched file
MAX_FILES = 100
MAX_PATH_CHARS = 200
ENGINE_FILES = ("LICENSE", ".nojekyll")  # written by code, always
PAGES = {"index.html": "index.html", "readme.md": "README.md"}  # in this spelling, whatever case the model writes
GIT_FOLDERS = (".git", "git~1")  # Windows has the second name for the first
ALWAYS = (*ENGINE_FILES, *PAGES.values())  # every site has them
WORKFLOWS = ".github/workflows/"

_UNNAMEABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# Not told apart from nothing by macOS. Windows drops dots and blanks at the end, and what follows a colon.
_WIDTHLESS = re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")


@dataclass(frozen=True)
class Workspace(Mapping[str, bytes]):
    """Path → bytes. A change makes a new workspace; two with the same files are equal and have the same digest."""

    files: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))

    def __getitem__(self, path: str) -> bytes:
        return self.files[path]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.files))

    def __len__(self) -> int:
        return len(self.files)

    def text(self, path: str) -> str:
        """The file as text; undecodable bytes become U+FFFD. Raises KeyError."""
        return self.files[path].decode("utf-8", "replace")

    def put(self, files: Mapping[str, bytes]) -> "Workspace":
        """With these files, whatever they are: for attachments and what code writes."""
        return Workspace(MappingProxyType({**self.files, **files}))

    def drop(self, *paths: str) -> "Workspace":
        return Workspace(MappingProxyType({p: d for p, d in self.files.items() if p not in paths}))

    def write(self, path: str, data: bytes, *, workflows: bool = False, max_bytes: int = MAX_FILE_BYTES) -> "Workspace":
        """As the model writes. `workflows`: the brief or a check names `.github/workflows/`. Raises ToolError."""
        path = safe_path(path, workflows=workflows)
        if len(data) > max_bytes:
            raise ToolError(f"{path!r} would have {len(data)} bytes; the limit is {max_bytes}: shorten it")
        twin = next((p for p in self.files if p.lower() == path.lower() and p != path), None)
        if twin:
            raise ToolError(f"{path!r} differs from {twin!r} only by case: write {twin!r}")
        clash = next((p for p in self.files if p.startswith(f"{path}/") or path.startswith(f"{p}/")), None)
        if clash:
            raise ToolError(f"{path!r} cannot stand beside {clash!r}: one of them is a folder")
        if path not in self.files and len(self.files) >= MAX_FILES and path not in PAGES.values():
            raise ToolError(f"the site has {MAX_FILES} files already, which is the limit: merge some")
        return self.put({path: data})

    @property
    def manifest(self) -> dict[str, str]:
        """Path → sha256 of its bytes, sorted."""
        return {path: sha256(self.files[path]) for path in self}

    @property
    def digest(self) -> str:
        return sha256("\n".join(f"{p} {h}" for p, h in self.manifest.items()).encode())

    def __hash__(self) -> int:
        return hash(self.digest)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def path_fault(path: str) -> str | None:
    """Why git, or a system that a site is cloned to, cannot hold a file of this name, whoever wrote it; else None."""
    if not path or _UNNAMEABLE.search(path):
        return f"{path[:80]!r} is no file name: use a relative path such as 'index.html'"
    parts = [_WIDTHLESS.sub("", unicodedata.normalize("NFD", part)) for part in path.split("/")]
    if "\\" in path or any(not part.strip(". ") for part in parts):
        return f"{path[:80]!r} leaves the site: use a relative path such as 'assets/app.js'"
    if any(part.partition(":")[0].rstrip(". ").casefold() in GIT_FOLDERS for part in parts):
        return f"{path[:80]!r} is a name that git keeps for itself: use another one"
    return None


def safe_path(path: str, *, workflows: bool = False) -> str:
    """The path in its one spelling, or ToolError with the reason it is refused: for whatever did not come from git."""
    clean = path.removeprefix("./")
    clean = PAGES.get(clean.lower(), clean)
    parts = clean.split("/")
    if fault := path_fault(clean):
        raise ToolError(fault)
    if len(clean) > MAX_PATH_CHARS or not clean.isprintable():
        raise ToolError(f"{path[:80]!r} is no file name: use a relative path such as 'index.html'")
    if ":" in parts[0]:
        raise ToolError(f"{path!r} leaves the site: use a relative path such as 'assets/app.js'")
    if clean.lower() == ".nojekyll" or re.fullmatch(r"licen[cs]e(\.\w+)?", clean.lower()):
        raise ToolError(f"{path!r} is written for you: leave it out")
    if clean.startswith(WORKFLOWS) and workflows:
        parts = parts[2:]
    if clean.lower() == "cname" or any(part.lower().startswith(".git") and part != ".gitignore" for part in parts):
        raise ToolError(f"{path!r} is refused: a site may not hold CNAME or .git* files")
    return clean


def unfit(paths: Collection[str]) -> dict[str, str]:
    """The paths that cannot be committed with the others → why. Of a file and a folder of one name the folder stays,
    unless the file is one that every site has."""
    faults = {path: fault for path in paths if (fault := path_fault(path))}
    for path in sorted(set(paths) - set(faults)):
        for folder in map(str, PurePosixPath(path).parents[:-1]):
            if folder in ALWAYS and folder in paths:
                faults[path] = f"{path!r} cannot stand beside the file {folder!r}"
            elif folder in paths:
                faults[folder] = f"{folder!r} cannot stand beside {path!r}, which needs a folder of that name"
    return faults


def is_published(name: str) -> bool:
    """Whether an attachment of this name may stand in the site."""
    stem = PurePosixPath(name).name.lower()
    return not (stem.startswith("license") or stem in ("cname", ".nojekyll") or stem.startswith(".git"))
