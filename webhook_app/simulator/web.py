"""The simulator's HTTP surface: OTPIQ's four calls under /api, the ledger, and a start page for people."""

import time
from dataclasses import dataclass, field
from threading import Event as Flag
from typing import Any

from flask import Blueprint, Flask, Response, current_app, json, jsonify, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from webhook_app.simulator import answers
from webhook_app.simulator.account import PROJECT_NAME, START_CREDIT_IQD, price_iqd, sender_ids
from webhook_app.simulator.checks import Refused, Send, check_key, check_send, digest_of, invalid
from webhook_app.simulator.ledger import Attempt, Entry, Ledger
from webhook_app.simulator.misbehaviours import Misbehaviour
from webhook_app.simulator.plots import Callback, Channel, Event, EventStatus, Plot, Rates, callbacks_of, plot
from webhook_app.simulator.postman import Letter, Postman
from webhook_app.simulator.start_page import start_page

_MAX_BODY_BYTES = 64 * 1024
_SLOW_ANSWER_S = 4.0
_SILENCE_S = 60.0
AFTERWARDS = "simulation.afterwards"  # in the WSGI environment: what the server calls when it is done with a request
_CALLBACK_FIRST_WITHIN_S = 5.0  # real seconds: a receiver that waits for our answer first must not wait for ever


@dataclass(frozen=True, kw_only=True)
class Options:
    """How one simulator runs. `speed` divides every simulated duration: 20 is twenty times faster."""

    speed: float = 1.0
    rates: Rates = field(default_factory=Rates)
    credit_iqd: int = START_CREDIT_IQD

    def __post_init__(self) -> None:
        if self.speed <= 0:
            raise ValueError("speed must be above 0")


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What one running app holds: found again as app.extensions["simulation"]."""

    options: Options
    ledger: Ledger
    postman: Postman
    stopping: Flag = field(default_factory=Flag)

    def real_s(self, simulated_s: float) -> float:
        return simulated_s / self.options.speed


api = Blueprint("api", __name__, url_prefix="/api")
about = Blueprint("about", __name__)


def create_simulator(options: Options) -> Flask:
    """An app that is a whole OTPIQ; its postman's threads run until `stop` of the simulation's postman."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the contract's order, as the provider writes it
    app.extensions["simulation"] = Simulation(
        options=options, ledger=Ledger(options.credit_iqd), postman=Postman(options.speed)
    )
    app.register_blueprint(api)
    app.register_blueprint(about)
    app.register_error_handler(Refused, _answer_refused)
    app.register_error_handler(HTTPException, _answer_http_error)
    return app


@api.post("/sms")
def send() -> Response:
    """200; 302, 400, 401, 413, 429, 500; or no answer at all."""
    simulation = _simulation()
    message = check_send(_json_body())
    story = plot(
        message.phone,
        message.provider,
        message.sms_type,
        simulation.options.rates.rng(message.phone, simulation.ledger.count(message.phone)),
        simulation.options.rates,
    )
    cost_iqd = price_iqd(message.phone, story.route[0])
    if story.misbehaviour is not None and story.misbehaviour.refuses:
        raise answers.refusal(story.misbehaviour, message.sender_id, cost_iqd)
    if story.misbehaviour is Misbehaviour.SLOW_ANSWER:
        simulation.stopping.wait(simulation.real_s(_SLOW_ANSWER_S))
    return _answer_accepted(simulation, _accept(simulation, message, story, cost_iqd))


@api.get("/sms/track/<sms_id>")
def track(sms_id: str) -> Response:
    """200, 401, 404."""
    simulation = _simulation()
    entry = simulation.ledger.find(sms_id)
    if entry is None:
        raise Refused("unknown smsId", 404, {"message": "SMS not found"})
    return jsonify(_tracking(entry, (time.monotonic() - entry.accepted_s) * simulation.options.speed))


@api.get("/info")
def info() -> Response:
    """200, 401."""
    return jsonify(projectName=PROJECT_NAME, credit=_simulation().ledger.balance_iqd)


@api.get("/sender-ids")
def senders() -> Response:
    """200, 401."""
    return jsonify(success=True, data=sender_ids())


@about.get("/")
def start() -> Response:
    """A page for people: 200."""
    return Response(start_page(_simulation().options.speed, request.host_url), mimetype="text/html")


@about.get("/__ledger")
def ledger() -> Response:
    """The truth, for tests and people: 200. ?webhookUrl= narrows it to one callback address."""
    return jsonify(_simulation().ledger.as_json(request.args.get("webhookUrl")))


@api.before_request
def _check_key() -> None:
    check_key(request.headers.get("Authorization"))


def _json_body() -> Any:
    if not request.is_json:
        raise invalid("Content-Type must be application/json")
    try:
        return json.loads(request.get_data())
    except RequestEntityTooLarge:
        raise Refused("too large", 413, {"message": "The body is too large"}) from None
    except ValueError:
        raise invalid("The body is not valid JSON") from None  # the decoder's own text would quote the body


def _accept(simulation: Simulation, message: Send, story: Plot, cost_iqd: int) -> Entry:
    callbacks = callbacks_of(story, message.report.report_type) if message.report else ()
    entry = simulation.ledger.accept(message, story, callbacks, cost_iqd)
    if entry is None:
        raise answers.insufficient_credit(simulation.ledger.balance_iqd, cost_iqd)
    return entry


def _answer_accepted(simulation: Simulation, entry: Entry) -> Response:
    misbehaviour = entry.plot.misbehaviour
    connection = request.environ.get("werkzeug.socket")
    if entry.plot.is_reset:
        _post_callbacks(simulation, entry)
        return answers.reset(connection)
    if misbehaviour is Misbehaviour.NEVER_ANSWERS:
        _post_callbacks(simulation, entry)
        return answers.silence(connection, simulation.stopping, simulation.real_s(_SILENCE_S))
    if misbehaviour is Misbehaviour.CALLBACK_FIRST:
        letters = _post_callbacks(simulation, entry)
        if letters:
            letters[0].first_try.wait(_CALLBACK_FIRST_WITHIN_S)
        return answers.garbled(misbehaviour, answers.accepted(entry))
    # Posted when the answer has left: at a high speed the first callback would otherwise often outrun it, and a
    # callback before its answer is something to be asked for. Held meanwhile, so that nobody finds the postman quiet.
    simulation.postman.hold()
    request.environ[AFTERWARDS] = lambda: _post_and_release(simulation, entry)
    return answers.garbled(misbehaviour, answers.accepted(entry))


def _post_and_release(simulation: Simulation, entry: Entry) -> None:
    try:
        _post_callbacks(simulation, entry)
    finally:
        simulation.postman.release()


def _post_callbacks(simulation: Simulation, entry: Entry) -> list[Letter]:
    letters: list[Letter] = []
    for callback in entry.callbacks:
        letters.append(_letter(simulation, entry, callback, letters[-1].first_try if letters else None))
        simulation.postman.post(letters[-1])
    return letters


def _letter(simulation: Simulation, entry: Entry, callback: Callback, not_before: Flag | None) -> Letter:
    report = entry.send.report
    assert report is not None, "without a report there are no callbacks"
    headers = {"Content-Type": "application/json", "User-Agent": "otpiq-simulator"}
    if report.secret is not None:
        headers["X-OTPIQ-Webhook-Secret"] = report.secret

    def tried(http_status: int | None, error: str | None) -> None:
        simulation.ledger.note(entry, callback.event, Attempt.now(http_status, error))

    return Letter(
        due_s=entry.accepted_s + simulation.real_s(callback.after_s),
        url=report.webhook_url,
        headers=headers,
        body=json.dumps(callback_body(entry, report.report_type, entry.plot.events[callback.event])).encode(),
        tried=tried,
        not_before=not_before,
    )


def callback_body(entry: Entry, report_type: str, event: Event) -> dict[str, Any]:
    body = {
        "smsId": entry.sms_id,
        "deliveryReportType": report_type,
        "isFinal": event.is_final,
        "channel": event.channel,
        "status": event.status,
    }
    if event.reason is not None:
        body["reason"] = event.reason
    if entry.send.sender_id is not None:
        body["senderId"] = entry.send.sender_id
    return body


def _tracking(entry: Entry, elapsed_s: float) -> dict[str, Any]:
    happened = entry.happened(elapsed_s)
    last = happened[-1] if happened else None
    return {
        "smsId": entry.sms_id,
        "phoneNumber": entry.send.phone,
        "status": last.status if last else "pending",
        "cost": entry.cost_iqd,
        "isFinalStatus": last.is_final if last else False,
        "lastChannel": last.channel if last else entry.plot.route[0],
        "channelFlow": [_flow(channel, happened) for channel in entry.plot.route],
    }


def _flow(channel: Channel, happened: tuple[Event, ...]) -> dict[str, Any]:
    on_channel = [event for event in happened if event.channel is channel]
    if not on_channel:
        return {"channel": channel, "tried": False}
    return {"channel": channel, "tried": True, "success": on_channel[-1].status is not EventStatus.FAILED}


def _answer_refused(refused: Refused) -> Response:
    if request.method == "POST":
        _write_down(refused)
    response = jsonify(refused.body)
    response.status_code = refused.http_status
    if refused.location is not None:
        response.headers["Location"] = refused.location
    return response


def _write_down(refused: Refused) -> None:
    fields = _fields_of_refused()
    report = fields.get("deliveryReport")
    phone, url = fields.get("phoneNumber"), report.get("webhookUrl") if isinstance(report, dict) else None
    _simulation().ledger.refuse(
        refused.why,
        refused.http_status,
        phone=phone if isinstance(phone, str) else None,
        webhook_url=url if isinstance(url, str) else None,
        digest=digest_of(fields) if fields else None,
    )


def _fields_of_refused() -> dict[str, Any]:
    try:
        body = request.get_json(silent=True)
    except RequestEntityTooLarge:
        return {}
    return body if isinstance(body, dict) else {}


def _answer_http_error(error: HTTPException) -> Response:
    status = error.code or 500
    response = jsonify({"error" if status == 400 else "message": error.name})
    response.status_code = status
    if status == 405:
        response.headers["Allow"] = ", ".join(getattr(error, "valid_methods", None) or ())
    return response


def _simulation() -> Simulation:
    simulation: Simulation = current_app.extensions["simulation"]
    return simulation
