"""What is in the wheel is enough: no checkout around it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_an_installed_wheel_brings_its_schema_its_templates_and_its_languages(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("wasl-*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    program = (
        "import webhook_app\nfrom webhook_app.cli.opening import open_rooms\n"
        "rooms = open_rooms()\n"
        "client = webhook_app.create_app(rooms.config).test_client()\n"
        "page = client.get('/sign-in', headers={'Accept-Language': 'ar'})\n"
        "print(webhook_app.__file__, page.status_code, 'كلمة المرور' in page.text)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "installed"), "WASL_DATA_DIR": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert ran.stdout.split() == [str(tmp_path / "installed/webhook_app/__init__.py"), "200", "True"]
