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

from . import counting, inbox, logs, recounting, searches, sending, tracking
from .database import Database, StoreAway
from .models import Intake, Moment
from .otpiq import Otpiq
from .refusals import INTAKE_KEPT
from .settings import Settings
from .spool import Spool

Step = Callable[[], float]  # does some work; returns in how many seconds there may be more

_BEAT_EVERY_S = 10.0
_BEATS_KEPT = timedelta(days=1)
_FOLD_EVERY_S = 5.0
_FOLD_ON_FROM = 1_000  # deltas; as many may be there again
_SETTLE_EVERY_S = 30.0
_DRAIN_EVERY_S = 5.0
_FORGET_EVERY_S = 3600.0
_FIRST_AGAIN_S, _LAST_AGAIN_S = 1.0, 30.0  # after a fault, twice as long each time
_STOP_WITHIN_S = 15.0
_BEAT = "worker:"

log = structlog.get_logger()


def run(config: Settings, database: Database, otpiq: Otpiq) -> None:
    """Work until SIGINT or SIGTERM, then finish what is running. Main thread only, before any other is started."""
    ending = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)  # for the loops too, so that `sigwait` is who gets them
    stopping = threading.Event()
    loops = [
        threading.Thread(target=repeat, args=(work, step, stopping), name=work, daemon=True)
        for work, step in _steps(config, database, otpiq).items()
    ]
    loops.append(threading.Thread(target=_live, args=(database, stopping), name="beat", daemon=True))
    for loop in loops:
        loop.start()
    log.info("worker.started", loops=[loop.name for loop in loops])
    signal.sigwait(ending)
    stopping.set()
    give_up_at = time.monotonic() + _STOP_WITHIN_S
    for loop in loops:
        loop.join(max(0.0, give_up_at - time.monotonic()))
    database.engine.dispose()
    log.info("worker.stopped", unfinished=[loop.name for loop in loops if loop.is_alive()])


def _steps(config: Settings, database: Database, otpiq: Otpiq) -> Mapping[str, Step]:
    """Every kind of work there is."""
    steps: dict[str, Step] = {
        "counts": lambda: _count(database),
        "abandoned sends": lambda: _settle_abandoned(database),
        "spool": lambda: _drain(database, Spool(config.spool_dir)),
        "old counts and searches": lambda: _forget(database, _now()),
    }
    if config.otpiq_api_key is not None:
        steps["tracking"] = lambda: tracking.ask_next(database, otpiq, config.tracks_per_minute, _now)
    return steps


def repeat(work: str, step: Step, stopping: threading.Event) -> None:
    """One loop. No fault ends it, the store's or our own: nobody would miss it."""
    again_in_s, known = _FIRST_AGAIN_S, ""
    while not stopping.is_set():
        try:
            wait_s = step()
            again_in_s, known = _FIRST_AGAIN_S, ""
        except Exception as error:  # noqa: BLE001
            wait_s, again_in_s = again_in_s, min(again_in_s * 2, _LAST_AGAIN_S)
            if (kind := type(error).__name__) != known:  # once, not at every try
                log.error("worker.fault", loop=work, error=kind, where=logs.where(error))
            known = kind
        stopping.wait(wait_s)


def _live(database: Database, stopping: threading.Event) -> None:
    """Say again and again that this worker lives; a clean end takes it back."""
    name = f"{_BEAT}{socket.gethostname()[:64]}:{os.getpid()}"
    repeat("beat", lambda: _beat(database, name, _now()), stopping)
    with contextlib.suppress(StoreAway), database.transaction() as session:
        session.execute(delete(Moment).where(Moment.name == name))


def _beat(database: Database, name: str, now: datetime) -> float:
    """Also forget those that died long ago, without a word."""
    with database.transaction() as session:
        session.merge(Moment(name=name, at=now))
        session.execute(delete(Moment).where(Moment.name.startswith(_BEAT), Moment.at < now - _BEATS_KEPT))
    return _BEAT_EVERY_S


def _count(database: Database) -> float:
    has_more = counting.fold(database, _now()) >= _FOLD_ON_FROM
    return 0.0 if recounting.derive_again(database) or has_more else _FOLD_EVERY_S


def _settle_abandoned(database: Database) -> float:
    with database.transaction() as session:
        sending.settle_abandoned(session, _now())
    return _SETTLE_EVERY_S


def _drain(database: Database, spool: Spool) -> float:
    """What a web process left that is not there to do it itself."""
    if not spool.is_empty():
        inbox.drain(database, spool)
    return _DRAIN_EVERY_S


def _forget(database: Database, now: datetime) -> float:
    searches.forget(database, now)
    with database.transaction() as session:
        session.execute(delete(Intake).where(Intake.minute < now - INTAKE_KEPT))
    return _FORGET_EVERY_S


def _now() -> datetime:
    return datetime.now(UTC)
