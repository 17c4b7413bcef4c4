"""`make lighthouse`: Lighthouse's verdict on the pages people keep open, as a phone and as a desk get them.

Lighthouse comes from npm by npx, and stays in npm's own cache.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx

from ..chromium import CHROMIUM
from ..showing import showing, sign_in

_LIGHTHOUSE = os.environ.get("LIGHTHOUSE", "npx --yes lighthouse@12").split()  # 13 needs a newer node than Debian's
_PAGES = {"Overview": "/", "Messages": "/messages"}
_FORMS = {"phone": (), "desk": ("--preset=desktop",)}
_AT_LEAST = 95


def main() -> None:
    if CHROMIUM is None or shutil.which(_LIGHTHOUSE[0]) is None:
        sys.exit("lighthouse needs Chromium, and npx (or LIGHTHOUSE, the path of one that is installed)")
    low = 0
    with tempfile.TemporaryDirectory(prefix="wasl-lighthouse-") as name, showing(Path(name)) as origin:
        cookie = _signed_in(origin)
        for page, path in _PAGES.items():
            for form, options in _FORMS.items():
                scores = _scores(f"{origin}{path}", cookie, options)
                low += sum(score < _AT_LEAST for score in scores.values())
                print(f"{page:9} {form:6} {'  '.join(f'{name} {score}' for name, score in scores.items())}")
    sys.exit(f"{low} below {_AT_LEAST}" if low else 0)


def _signed_in(origin: str) -> str:
    with httpx.Client(base_url=origin, trust_env=False) as browser:
        sign_in(browser)
        return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())


def _scores(url: str, cookie: str, options: tuple[str, ...]) -> dict[str, int]:
    command = [
        *_LIGHTHOUSE,
        url,
        "--quiet",
        "--output=json",
        "--only-categories=performance,accessibility",
        "--chrome-flags=--headless --no-sandbox --disable-gpu --disable-background-networking",
        f"--extra-headers={json.dumps({'Cookie': cookie})}",
        *options,
    ]
    environment = os.environ | {"CHROME_PATH": str(CHROMIUM)}
    ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    report = json.loads(ran.stdout)
    _print_what_is_wanting(report)
    return {name: round(category["score"] * 100) for name, category in report["categories"].items()}


def _print_what_is_wanting(report: dict[str, Any]) -> None:
    refs = [ref for category in report["categories"].values() for ref in category["auditRefs"]]
    for audit in (report["audits"][ref["id"]] for ref in refs if ref["weight"]):
        if audit["score"] is not None and audit["score"] < 0.9:
            print(f"    {audit['title']}: {audit.get('displayValue', 'failed')}")


if __name__ == "__main__":
    main()
