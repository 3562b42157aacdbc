"""What the GitHub on loopback serves: each address of a site, worked out beforehand from the files it holds."""

from collections.abc import Iterable, Mapping

TYPES = {"html": "text/html", "css": "text/css", "js": "application/javascript", "json": "application/json"}


def addresses(paths: Iterable[str]) -> Mapping[str, tuple[int, str]]:
    """Address → 200 and the file, or 301 and the folder. What is not in it is not found."""
    shown = [path for path in paths if "/.git" not in f"/{path}".lower()]
    if ".nojekyll" not in shown:
        shown = [path for path in shown if not any(part[0] in "._#" or part[-1] == "~" for part in path.split("/"))]
    site: dict[str, tuple[int, str]] = {}
    for path in shown:  # what stands later goes before
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            site[folder] = 301, f"{folder}/"
    for path in shown:
        if path.endswith(".html"):
            site[path[: -len(".html")]] = 200, path
        if path.split("/")[-1] == "index.html":
            site[path[: -len("index.html")]] = 200, path
    return site | {path: (200, path) for path in shown}


def media_type(path: str) -> str:
    kind = TYPES.get(path.rpartition(".")[2])
    return f"{kind}; charset=utf-8" if kind else "application/octet-stream"
