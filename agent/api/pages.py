"""HTML for people, rendered on the server. Every text of a task is hostile and stays text."""

import json
import secrets
import time
from pathlib import Path
from urllib.parse import urlsplit

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent.parent.parent / "templates" / "dashboard"


def page(template: str, **variables: object) -> HTMLResponse:
    """Only styles and scripts that carry this answer's nonce are used, so nothing that a task says can be."""
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    html = _environment.get_template(template).render(nonce=nonce, **variables)
    return HTMLResponse(html, headers={"Content-Security-Policy": policy})


def duration(seconds: float) -> str:
    """In the largest unit that is not yet 0: `4 s`, `3 min`, `5 h`, `2 d`."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def usd(cost: float | None) -> str:
    return "unknown" if cost is None else f"${cost:.4f}"


def utc(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def inline_code(text: str) -> Markup:
    """Text between backticks becomes code; all the rest stays text."""
    parts = (Markup("<code>{}</code>" if n % 2 else "{}").format(part) for n, part in enumerate(text.split("`")))  # noqa: S704
    return Markup("").join(parts)


def is_web_address(url: object) -> bool:
    """Only these become links: a `javascript:` one would run."""
    try:
        return urlsplit(str(url)).scheme in ("http", "https")
    except ValueError:
        return False


_environment = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters.update(duration=duration, usd=usd, utc=utc, pretty=pretty, inline_code=inline_code)
_environment.tests["web_address"] = is_web_address
