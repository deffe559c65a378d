#!/usr/bin/env python3
"""Makes docs/desk.png: the desk of the running demo, as the administrator sees it after signing in.

    make demo                                   # in one terminal
    .venv/bin/python scripts/picture.py         # in another; --url for another port, --login for another role

Needs Chromium, as the browser tests do. The one-time code comes from `manage.py devstack code`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from backoffice.devstack.logins import DEMO_LOGINS, DEMO_PASSWORD  # noqa: E402 - the project is not installed
from backoffice.devstack.preflight import find_browser  # noqa: E402

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SIZE = {"width": 1440, "height": 900}


def main() -> int:
    """Signs in, takes the picture, and says where it is; the exit status."""
    options = _options()
    chromium = find_browser()
    if chromium is None:
        print("picture: no Chromium here; `make setup-tests` installs it or says how", file=sys.stderr)
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        scheme = "dark" if options.dark else "light"
        page = browser.new_page(viewport=SIZE, color_scheme=scheme, reduced_motion="reduce")
        _sign_in(page, options.url, options.login)
        page.goto(f"{options.url}{options.path}", wait_until="networkidle")
        page.screenshot(path=options.out)
        browser.close()
    print(options.out)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the demo runs")
    parser.add_argument("--login", default=DEMO_LOGINS[0].email, help="whose desk")
    parser.add_argument("--path", default="/desk/", help="which page")
    parser.add_argument("--dark", action="store_true", help="in dark mode")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "desk.png")
    return parser.parse_args()


def _sign_in(page: Page, url: str, login: str) -> None:
    page.goto(f"{url}/account/login/")
    page.get_by_label("E-mail address").fill(login)
    page.get_by_label("Password", exact=True).fill(DEMO_PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    code = page.get_by_label("Code", exact=True)
    code.fill(_current_code(login))
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(f"{url}/desk/")


def _current_code(login: str) -> str:
    command = [sys.executable, "-m", "backoffice.devstack", "code", login]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
