"""`wasl worker`: the work that no request waits for, each kind in a loop of its own. Any number may run, anywhere."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import delete

from . import counting, logs, sending, tracking
from .database import Database, StoreAway
from .models import Moment
from .otpiq import Otpiq
from .settings import Settings

Step = Callable[[], float]  # does some work; returns in how many seconds there may be more

_BEAT_EVERY_S = 10.0
_BEATS_KEPT = timedelta(days=1)
_FOLD_EVERY_S = 5.0
_FOLD_ON_FROM = 1_000  # deltas; as many may be there again
_SETTLE_EVERY_S = 30.0
_FAULT_WAITS_S = 5.0
_LONGEST_AWAY_S = 30.0
_STOP_WITHIN_S = 15.0
_BEAT = "worker:"

log = structlog.get_logger()


def run(config: Settings, database: Database, otpiq: Otpiq) -> None:
    """Work until SIGINT or SIGTERM, then finish what is running. Main thread only, before any other is started."""
    ending = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)  # for the loops too, so that `sigwait` is who gets them
    stopping = threading.Event()
    name = f"{_BEAT}{socket.gethostname()[:64]}:{os.getpid()}"
    steps = _steps(config, database, otpiq, name)
    loops = [
        threading.Thread(target=_repeat, args=(work, step, stopping), name=work, daemon=True)
        for work, step in steps.items()
    ]
    for loop in loops:
        loop.start()
    log.info("worker.started", loops=list(steps))
    signal.sigwait(ending)
    stopping.set()
    give_up_at = time.monotonic() + _STOP_WITHIN_S
    for loop in loops:
        loop.join(max(0.0, give_up_at - time.monotonic()))
    with contextlib.suppress(StoreAway):
        _end_beat(database, name)
    database.engine.dispose()
    log.info("worker.stopped")


def _steps(config: Settings, database: Database, otpiq: Otpiq, name: str) -> Mapping[str, Step]:
    steps: dict[str, Step] = {
        "beat": lambda: _beat(database, name, _now()),
        "counts": lambda: _fold(database),
        "abandoned sends": lambda: _settle_abandoned(database),
    }
    if config.otpiq_api_key is not None:
        steps["tracking"] = lambda: tracking.ask_next(database, otpiq, config.tracks_per_minute, _now)
    return steps


def _repeat(work: str, step: Step, stopping: threading.Event) -> None:
    """One loop: no fault of the store or of our own ends it."""
    times_away = 0
    while not stopping.is_set():
        try:
            wait_s = step()
            times_away = 0
        except StoreAway as away:
            wait_s = min(2.0**times_away, _LONGEST_AWAY_S)
            if times_away == 0:  # once, not at every try
                log.warning("worker.store_away", loop=work, why=str(away))
            times_away += 1
        except Exception as error:  # noqa: BLE001 - a loop that ended would not be missed by anybody
            wait_s = _FAULT_WAITS_S
            log.error("worker.failed", loop=work, error=type(error).__name__, where=logs.where(error))
        stopping.wait(wait_s)


def _beat(database: Database, name: str, now: datetime) -> float:
    """Say that this worker lives; forget those that died long ago without a word."""
    with database.transaction() as session:
        session.merge(Moment(name=name, at=now))
        session.execute(delete(Moment).where(Moment.name.startswith(_BEAT), Moment.at < now - _BEATS_KEPT))
    return _BEAT_EVERY_S


def _end_beat(database: Database, name: str) -> None:
    with database.transaction() as session:
        session.execute(delete(Moment).where(Moment.name == name))


def _fold(database: Database) -> float:
    return 0.0 if counting.fold(database) >= _FOLD_ON_FROM else _FOLD_EVERY_S


def _settle_abandoned(database: Database) -> float:
    with database.transaction() as session:
        sending.settle_abandoned(session, _now())
    return _SETTLE_EVERY_S


def _now() -> datetime:
    return datetime.now(UTC)
