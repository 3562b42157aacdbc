# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "a2wsgi>=1.10",
#     "axe-playwright-python>=0.1.7",
#     "charset-normalizer>=3.4,<4",
#     "dbos>=3.4,<4",
#     "dulwich>=1.2.21,<2",
#     "fastapi>=0.120",
#     "filelock>=3.20",
#     "httpcore>=1.0.9,<2",
#     "httpx>=0.28.1,<0.29",
#     "jinja2>=3.1.6",
#     "jsonschema-rs>=0.40",
#     "litellm>=1.105.3,<1.110,!=1.106.*,!=1.107.*",
#     "openpyxl>=3.1.5",
#     "pillow>=12",
#     "playwright>=1.55",
#     "prometheus-client>=0.23",
#     "psycopg[binary]>=3.2",
#     "pydantic>=2.11",
#     "pydantic-settings>=2.10",
#     "pypdf>=6",
#     "python-dotenv>=1.1",
#     "pyyaml>=6.0.2",
#     "regex>=2025.9",
#     "rich>=14",
#     "selectolax>=0.4",
#     "sqlalchemy>=2.0.40",
#     "sse-starlette>=3.0",
#     "structlog>=25.1",
#     "tree-sitter>=0.25",
#     "tree-sitter-javascript>=0.25",
#     "typer>=0.16",
#     "uvicorn>=0.35",
# ]
# ///
"""The app for uvicorn (`uvicorn main:app`), the commands for people (`python main.py --help`)."""

import sys

HOW = "run .venv/bin/python main.py after make demo, or uv run main.py"

if sys.version_info < (3, 11):  # noqa: UP036 - read by an older Python, which must understand all of this file
    sys.exit("Python 3.11 or newer is needed and this is " + sys.version.split()[0] + ": " + HOW)

try:
    if __name__ == "__main__":
        from agent.cli.main import main

        main()
    else:
        from agent.api.app import create_app

        app = create_app()
except ModuleNotFoundError as error:
    if error.name is None or error.name.split(".")[0] == "agent":
        raise
    sys.exit(
        "The package "
        + error.name
        + " is missing from "
        + sys.executable
        + ": "
        + HOW
        + ", or pip install -r requirements.txt"
    )
