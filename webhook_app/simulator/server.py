"""Runs the simulator: inside a test as a context manager, or in the foreground until a signal comes."""

import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import FrameType, TracebackType
from typing import Any, Self

from werkzeug.serving import WSGIRequestHandler, make_server

from webhook_app.simulator.account import START_CREDIT_IQD
from webhook_app.simulator.ledger import Ledger
from webhook_app.simulator.plots import Rates
from webhook_app.simulator.web import AFTERWARDS, Options, Simulation, create_simulator

_BACKLOG = 256
_POLL_S = 0.05  # how late the serving thread may notice a stop
_SIGNAL_POLL_S = 0.1


class Simulator:
    """A simulator on its own port, running from construction until `stop`; `seed` is short for one in `rates`.

    Raises OSError when the port is taken.
    """

    def __init__(
        self,
        port: int = 0,
        speed: float = 1.0,
        rates: Rates | None = None,
        seed: int | None = None,
        *,
        host: str = "127.0.0.1",
        credit_iqd: int = START_CREDIT_IQD,
    ) -> None:
        rates = rates or Rates()
        rates = rates if seed is None else replace(rates, seed=seed)
        options = Options(speed=speed, rates=rates, credit_iqd=credit_iqd)
        # Bound here and handed over: left to itself, make_server answers a taken port by ending the process.
        listener = _listen(host, port)
        app = create_simulator(options)
        self._simulation: Simulation = app.extensions["simulation"]
        self._server = make_server(host, port, app, threaded=True, request_handler=_QuietRequest, fd=listener.fileno())
        listener.close()
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="simulator-server", daemon=True
        )
        self._thread.start()

    @property
    def origin(self) -> str:
        """Where the start page and the ledger are, e.g. "http://127.0.0.1:8089"."""
        host, port = self._server.host, self._server.port
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def base_url(self) -> str:
        """What to give a client as OTPIQ's base URL, e.g. "http://127.0.0.1:8089/api"."""
        return f"{self.origin}/api"

    @property
    def ledger(self) -> Ledger:
        return self._simulation.ledger

    def wait_until_quiet(self, timeout_s: float = 30.0) -> bool:
        """Wait until no callback is left to be sent or tried again; False when that takes longer (real seconds)."""
        return self._simulation.postman.wait_until_quiet(timeout_s)

    def stop(self) -> None:
        """Take no more calls, hold no answer back any longer, post no more callbacks. The ledger stays readable."""
        self._simulation.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._simulation.postman.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def run(
    host: str = "127.0.0.1",
    port: int = 8089,
    options: Options | None = None,
    on_start: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; `on_start` is told the base URL. Main thread only. Raises OSError: port taken."""
    signals: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        signals.append(number)

    options = options or Options()
    with Simulator(port, options.speed, options.rates, host=host, credit_iqd=options.credit_iqd) as simulator:
        before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            if on_start is not None:
                on_start(simulator.base_url)
            # Looked at in turns: a signal that lands just before a long wait begins would not be seen until it ends,
            # and setting an Event from a signal can lock against the very wait it should end.
            while not signals:
                time.sleep(_SIGNAL_POLL_S)
        finally:
            for number, action in before.items():
                signal.signal(number, action)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A port just left by a stopped simulator may be taken at once; one still listened on may not.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


class _QuietRequest(WSGIRequestHandler):
    """One connection, without a log line for each call."""

    def run_wsgi(self) -> None:
        super().run_wsgi()
        # Not left to the closing of the answer, which never comes when the caller hung up.
        self.environ.get(AFTERWARDS, lambda: None)()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass

    def log_error(self, format: str, *args: Any) -> None:  # noqa: A002  (the name is the base class's)
        pass

    def connection_dropped(self, *_: object) -> None:
        # Without an answer sent, the base class would wait for a next request on a connection we mean to drop.
        self.close_connection = True
