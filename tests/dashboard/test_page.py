"""The live page in a browser: page.mjs, where node, chromium and playwright-core are there."""

import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def missing():
    if os.environ.get("CLFCN_DASHBOARD", "1") != "1":
        return "built without libmicrohttpd"
    for program in ("node", "chromium"):
        if not shutil.which(program):
            return f"no {program}"
    if not (HERE / "node_modules" / "playwright-core").is_dir():
        return "no playwright-core: npm ci in tests/dashboard"
    return None


if __name__ == "__main__":
    why = missing()
    if why:
        print(f"TAP version 13\n1..0 # SKIP {why}", flush=True)
        sys.exit(0)
    os.execvp("node", ["node", str(HERE / "page.mjs")])
