"""The benchmark's machinery, at its smallest: no figure is judged here."""

import shutil
from pathlib import Path

import pytest

from .benchmarks import pages, report, traffic
from .benchmarks.contenders import Entry, started
from .benchmarks.slow_sync import require_slowness


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed (apt install wrk)")
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_servers_take_turns_and_what_they_answered_is_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    messages, requests = traffic.prepare(6_000)
    entries = [Entry(kind="floor", workers=1), Entry(kind="wasl", store="sqlite", workers=1)]
    with started(entries, messages, tmp_path) as contenders:
        for contender in contenders:
            contender.rounds.append(contender.meet(requests, tmp_path, 1))
            contender.check()
        report.print_contenders(contenders)
    assert "wasl SQLite" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_a_disk_can_be_made_slower(tmp_path: Path) -> None:
    require_slowness(tmp_path, milliseconds=2)


def test_every_page_is_measured_at_two_sizes_and_beside_a_naive_overview(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_VISITS", 1)
    monkeypatch.setattr(pages, "_NAIVE_ROUNDS", 1)
    pages.compare(tmp_path, "sqlite", (1_500, 3_000), rounds=1)
    said = capsys.readouterr().out
    assert all(f"\n{page} " in said for page in ("/", "/?range=30d", "/messages", "/messages/…", "/spend", "/settings"))
    assert "SQLite: any page, 3,000 messages / 1,500" in said
    assert "SQLite: Overview counted naively / ours" in said
