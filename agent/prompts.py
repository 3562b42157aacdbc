"""The texts a model or a visitor reads, rendered from Jinja files; a variable that is missing is an error."""

import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from agent.errors import ConfigError

TEMPLATES = Path(__file__).parent.parent / "templates"
PROMPTS = Path(__file__).parent.parent / "prompts"


class Prompts:
    """The `*.j2` files of a folder as they are now: make a new one to see an edit. Text comes out unescaped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jinja: Environment = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader(folder),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=lambda name: bool(name and name.endswith(".html.j2")),
        )

    def render(self, name: str, /, **variables: object) -> str:
        """Raises ConfigError naming the file when it is missing, broken or wants a variable it is not given."""
        try:
            return self._jinja.get_template(name).render(variables).strip() + "\n"
        except TemplateError as error:
            raise ConfigError(f"{self._folder / name}: {type(error).__name__}: {error}") from error

    @property
    def sha256(self) -> str:
        """Of all files, so that a record tells which prompts it was made with."""
        digest = hashlib.sha256()
        for path in sorted(self._folder.rglob("*.j2")):
            digest.update(path.relative_to(self._folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
        return digest.hexdigest()
