"""Logs: one line an event, as text or JSON; errors by their type and place, never by their text."""

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from webhook_app import logs

Lines = Callable[[], list[str]]


@pytest.fixture(params=["text", "json"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def lines(form: str) -> Iterator[Lines]:
    """What was logged since, line by line."""
    said = io.StringIO()
    logs.configure(form)
    for handler in logging.getLogger().handlers:
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(said)
    yield lambda: said.getvalue().splitlines()
    logs.configure("text")


def test_an_event_is_one_line_with_time_level_and_values(lines: Lines, form: str) -> None:
    structlog.get_logger().info("message.sent", message_id="01980f2e", to="+964 770 ••• 4567")
    (line,) = lines()
    if form == "json":
        event = json.loads(line)
        assert (event["event"], event["level"], event["message_id"]) == ("message.sent", "info", "01980f2e")
        assert event["timestamp"].endswith("Z")
    else:
        assert line.startswith("timestamp=")
        assert "level='info' event='message.sent' message_id='01980f2e'" in line


def test_a_value_with_line_breaks_stays_on_its_line(lines: Lines) -> None:
    structlog.get_logger().warning("odd", words="one\ntwo\r\nthree", arabic="وصل")
    assert len(lines()) == 1


def test_another_library_s_line_comes_out_the_same_way(lines: Lines, form: str) -> None:
    logging.getLogger("gunicorn.error").warning("Worker %s was sent a signal", 7)
    (line,) = lines()
    assert "Worker 7 was sent a signal" in line
    assert form == "text" or json.loads(line)["level"] == "warning"


def test_another_library_s_traceback_is_cut_to_type_and_place(lines: Lines) -> None:
    try:
        raise ValueError("code 493817")
    except ValueError:
        logging.getLogger("werkzeug").exception("a fault")
    (line,) = lines()
    assert "493817" not in line
    assert "ValueError" in line
    assert "test_logs.py" in line


def test_an_http_client_s_chatter_is_left_out(lines: Lines) -> None:
    logging.getLogger("httpx").info("HTTP Request: POST https://api.otpiq.com/api/sms")
    logging.getLogger("httpcore").debug("connect")
    assert lines() == []


def test_where_names_the_frames_and_not_the_text() -> None:
    def fails() -> None:
        raise ValueError("code 493817")

    with pytest.raises(ValueError, match="code") as caught:
        fails()
    found = logs.where(caught.value)
    assert found.endswith("fails")
    assert "test_logs.py:" in found
    assert "493817" not in found
