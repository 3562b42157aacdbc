"""Posts examples/hello.json as an evaluator would: python send_task.py [URL]. The secret is that of the settings."""

import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent

sys.argv[1:] = ["send", str(ROOT / "examples" / "hello.json"), "--new", *sys.argv[1:2]]
runpy.run_path(str(ROOT / "main.py"), run_name="__main__")
