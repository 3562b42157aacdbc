"""What GitHub Pages serves for a path of a site: the one answer of the embedded host, the browser and the review."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from agent.workspace import INDEX

NOT_FOUND = "404.html"
NOJEKYLL = ".nojekyll"


@dataclass(frozen=True)
class Served:
    """An answer of Pages: the file whose bytes come with it, or the folder that a redirect leads to."""

    status: Literal[200, 301, 404]
    file: str | None = None  # with a 404 the site's own page for it, if it has one
    folder: str = ""  # ends in a slash


def serve(files: Collection[str], path: str) -> Served:
    """What Pages answer at this path below the site's address, once percent-decoded; `files` are the site's paths.

    A file goes before a page without its ending, and that before the redirect to a folder. Case counts.
    """
    page = f"{path}{INDEX}" if not path or path.endswith("/") else path
    for file in (page, f"{page}.html"):
        if file in files and _is_public(files, file):
            return Served(200, file)
    if page == path and any(file.startswith(f"{path}/") and _is_public(files, file) for file in files):
        return Served(301, folder=f"{path}/")
    return Served(404, NOT_FOUND if NOT_FOUND in files else None)


def page_at(files: Collection[str], path: str) -> str | None:
    """The file that a visitor of this path is shown in the end, redirects followed; None where it is not found."""
    served = serve(files, path)
    if served.status == 301:
        served = serve(files, served.folder)
    return served.file if served.status == 200 else None


def _is_public(files: Collection[str], file: str) -> bool:
    """Git's own files never are. Without .nojekyll Pages have Jekyll build the site, which leaves out more."""
    parts = file.split("/")
    if any(part.lower().startswith(".git") for part in parts):
        return False
    return NOJEKYLL in files or not any(part.startswith(("_", ".", "#")) or part.endswith("~") for part in parts)
