"""Posts examples/hello.json as an evaluator would: python send_task.py [URL]. The secret is that of the settings."""

import json
import sys
from pathlib import Path
from uuid import uuid4

import httpx

from agent.errors import ConfigError
from agent.settings import Settings

EXAMPLE = Path(__file__).parent / "examples" / "hello.json"


def main(url: str = "http://127.0.0.1:8000/handle_task") -> None:
    try:
        secret = Settings.load().secret.get_secret_value()
        answer = httpx.post(url, json=json.loads(EXAMPLE.read_text()) | {"secret": secret, "nonce": str(uuid4())})
    except ConfigError as error:
        sys.exit(str(error))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        sys.exit(f"no service answers at {url}: {error}")
    print(answer.status_code, answer.text)
    sys.exit(answer.is_error)


if __name__ == "__main__":
    main(*sys.argv[1:2])
