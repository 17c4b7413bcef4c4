import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from webhook_app import merging, receiving, sending
from webhook_app.database import Database, StoreAway
from webhook_app.models import BalanceReading, Callback, Exchange, Message
from webhook_app.otpiq import Otpiq, SendRequest, parse_send
from webhook_app.sending import Asked, KeyReused, Outcome, StillRunning
from webhook_app.simulator.misbehaviours import Misbehaviour, suffix_of
from webhook_app.simulator.server import Simulator
from webhook_app.stamp import Stamper
from webhook_app.status import Fact, Status, anomalies, from_json

from .conftest import SECRET_KEY
from .rows import NOW, add_message, all_rows, arrival, callback, counted, everything_stored, get_message, recounted
from .scripted import Part, Scripted, accepted, answer

CODE, KEY = "493817", "sk_live_0123456789abcdef"
STAMPER = Stamper((SECRET_KEY,), "http://127.0.0.1:9")


def otp(phone: str = "9647701234567", **more: object) -> SendRequest:
    return parse_send({"phoneNumber": phone, "smsType": "verification", "verificationCode": CODE} | more)


def asked(once_key: str | None = None, body: bytes = b"{}", by: str = "key:checkout") -> Asked:
    return Asked(by=by, once_key=once_key, body=body, estimate_iqd=80)


def send(
    database: Database,
    base_url: str,
    request: SendRequest | None = None,
    who: Asked | None = None,
    clock: Callable[[], datetime] = lambda: NOW,
) -> Outcome:
    otpiq = Otpiq(base_url, KEY, deadline_s=2.0)
    return sending.send(database, otpiq, STAMPER, request or otp(), who or asked(), clock)


def only_message(database: Database) -> Message:
    (message,) = all_rows(database, Message)
    return message


def test_the_row_stands_as_sending_before_the_first_byte_leaves(database: Database) -> None:
    seen: list[tuple[str, str, int | None]] = []

    def look(_request: bytes) -> Sequence[Part]:
        row = only_message(database)
        seen.append((row.status, row.send_state, row.estimate_iqd))
        return accepted()

    with Scripted(look) as server:
        send(database, server.base_url)
    assert seen == [("sending", "sending", 80)]


def test_no_lock_is_held_during_the_call(database: Database) -> None:
    def write(_request: bytes) -> Sequence[Part]:
        add_message(database)
        with database.transaction() as session:
            session.execute(text("UPDATE message SET reference = 'touched'"))
        return accepted()

    with Scripted(write) as server:
        assert send(database, server.base_url).state == "accepted"


@pytest.mark.parametrize(
    ("seconds", "phone", "state", "is_repeat"),
    [
        (60, "9647701234567", "accepted", True),
        (60, "9647701234567", "unconfirmed", True),
        (61, "9647701234567", "accepted", False),
        (5, "9647701234568", "accepted", False),
        (5, "9647701234567", "rejected", False),
    ],
)
def test_a_message_to_a_number_just_sent_to_is_a_repeat(
    database: Database, seconds: int, phone: str, state: str, is_repeat: bool
) -> None:
    add_message(database, NOW - timedelta(seconds=seconds), phone="9647701234567", send_state=state)
    with Scripted(accepted()) as server:
        send(database, server.base_url, otp(phone))
    assert all_rows(database, Message)[-1].is_repeat is is_repeat


def test_an_accepted_send_is_stored_with_all_that_was_told(database: Database) -> None:
    with Scripted(accepted("sms-7")) as server:
        outcome = send(database, server.base_url)
    row, (exchange,) = only_message(database), all_rows(database, Exchange)
    assert (outcome.state, outcome.sms_id, outcome.cost_iqd, outcome.balance_iqd) == ("accepted", "sms-7", 200, 14800)
    assert (row.status, row.sms_id, row.charged_iqd, row.balance_iqd) == ("accepted", "sms-7", 200, 14800)
    assert (exchange.outcome, exchange.sms_id, exchange.cost_iqd, exchange.http_status) == (
        "accepted",
        "sms-7",
        200,
        200,
    )
    assert all_rows(database, BalanceReading)[0].iqd == 14800


def test_the_stamp_that_leaves_is_the_messages_own(database: Database) -> None:
    with Scripted(accepted()) as server:
        outcome = send(database, server.base_url)
    report = server.bodies()[0]["deliveryReport"]
    assert report["webhookUrl"] == f"http://127.0.0.1:9/callbacks/otpiq/{outcome.message_id}"
    assert STAMPER.check(str(outcome.message_id), report["webhookSecret"].encode())


OUTCOMES: dict[Misbehaviour, tuple[str, str | None]] = {
    Misbehaviour.BAD_REQUEST: ("rejected", "invalid"),
    Misbehaviour.BAD_FIELDS: ("rejected", "invalid"),
    Misbehaviour.BAD_SENDER: ("rejected", "sender"),
    Misbehaviour.TRIAL_MODE: ("rejected", "trial"),
    Misbehaviour.INSUFFICIENT_CREDIT: ("rejected", "credit"),
    Misbehaviour.SPENDING_THRESHOLD: ("rejected", "threshold"),
    Misbehaviour.BAD_KEY: ("rejected", "key"),
    Misbehaviour.RATE_LIMITED: ("throttled", "rate"),
    Misbehaviour.PROVIDER_FAULT: ("unconfirmed", "outcome_unknown"),
    Misbehaviour.FAULT_YET_SENT: ("unconfirmed", "outcome_unknown"),
    Misbehaviour.REDIRECT: ("unconfirmed", "outcome_unknown"),
    Misbehaviour.CUT_ANSWER: ("unconfirmed", "outcome_unknown"),
    Misbehaviour.CUT_EARLY: ("unconfirmed", "outcome_unknown"),
    Misbehaviour.INVALID_JSON: ("unconfirmed", "outcome_unknown"),
    Misbehaviour.NO_SMS_ID: ("unconfirmed", "outcome_unknown"),
}


@pytest.mark.parametrize("misbehaviour", OUTCOMES)
def test_each_answer_leads_to_its_state(database: Database, simulator: Simulator, misbehaviour: Misbehaviour) -> None:
    outcome = send(database, simulator.base_url, otp("9647701230" + suffix_of(misbehaviour)))
    row, (exchange,) = only_message(database), all_rows(database, Exchange)
    assert (outcome.state, outcome.kind) == OUTCOMES[misbehaviour]
    assert row.status == row.send_state == exchange.outcome == outcome.state
    assert row.closed == (outcome.state in ("rejected", "throttled"))
    assert row.charged_iqd is None
    assert counted(database) == recounted(database)


def test_a_refused_connection_is_unsent(database: Database) -> None:
    outcome = send(database, "http://127.0.0.1:9/api")
    assert (outcome.state, outcome.kind) == ("unsent", "not_sent")
    assert only_message(database).status == "unsent"


def test_a_salvaged_sms_id_is_kept_for_tracking(database: Database, simulator: Simulator) -> None:
    send(database, simulator.base_url, otp("9647701230" + suffix_of(Misbehaviour.CUT_ANSWER)))
    row = only_message(database)
    assert row.sms_id == simulator.ledger.sends[0].sms_id
    assert row.status == "unconfirmed"


def test_money_in_doubt_is_counted_apart_until_its_cost_is_known(database: Database) -> None:
    with Scripted(answer(500, {"message": "Internal error"})) as server:
        outcome = send(database, server.base_url)
    assert sum(amounts[2] for amounts in counted(database).values()) == 80
    receiving.receive(database, [arrival(outcome.message_id, callback("sent"))])
    assert only_message(database).status == "sent"
    assert sum(amounts[2] for amounts in counted(database).values()) == 80  # it went out: all the more
    with database.transaction() as session:
        told = Fact(at=NOW, cost_iqd=60, cost_from="tracking")
        merging.merge(session, session.get_one(Message, outcome.message_id), [told])
    assert [sum(amounts[place] for amounts in counted(database).values()) for place in (1, 2)] == [60, 0]


def test_a_callback_before_the_answer_is_not_undone(database: Database) -> None:
    def call_back_first(_request: bytes) -> Sequence[Part]:
        row = only_message(database)
        receiving.receive(database, [arrival(row.id, callback("delivered", final=True, smsId="sms-7"))])
        return accepted("sms-7")

    with Scripted(call_back_first) as server:
        outcome = send(database, server.base_url)
    row = get_message(database, outcome.message_id)
    assert (row.status, row.closed, row.channel) == ("delivered", True, "sms")
    assert (row.send_state, row.charged_iqd) == ("accepted", 200)


@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_callback_before_a_bad_answer_wins_too(database: Database, status: int) -> None:
    def call_back_first(_request: bytes) -> Sequence[Part]:
        receiving.receive(database, [arrival(only_message(database).id, callback("delivered", final=True))])
        return answer(status, {"message": "no"})

    with Scripted(call_back_first) as server:
        send(database, server.base_url)
    row = only_message(database)
    assert row.status == "delivered"
    noted = anomalies(from_json(row.delivery), Status(row.send_state))
    assert noted == (() if status == 500 else ("refused_yet_reported",))


def test_another_sms_id_in_the_callback_than_in_the_answer_raises_the_alarm(database: Database) -> None:
    with Scripted(accepted("sms-7")) as server:
        outcome = send(database, server.base_url)
    receiving.receive(database, [arrival(outcome.message_id, callback("sent", smsId="sms-8"))])
    assert anomalies(from_json(only_message(database).delivery), Status.ACCEPTED) == ("sent_twice",)


# The same request again


def test_a_repeat_gets_the_first_outcome_and_sends_nothing(database: Database) -> None:
    with Scripted(accepted()) as server:
        first = send(database, server.base_url, who=asked("once"))
        assert send(database, server.base_url, who=asked("once")) == first
    assert len(server.requests) == 1
    assert len(all_rows(database, Message)) == 1


@pytest.mark.parametrize("script", [answer(400, {"error": "trial mode", "n": 1}), answer(500, {}), [b""]])
def test_a_repeat_of_a_failure_gets_the_failure_again(database: Database, script: list[bytes]) -> None:
    with Scripted(script, accepted()) as server:
        first = send(database, server.base_url, who=asked("once"))
        assert send(database, server.base_url, who=asked("once")) == first
    assert len(server.requests) == 1


def test_a_repeat_of_what_was_told_to_come_back_is_tried_again(database: Database) -> None:
    with Scripted(answer(429, {"waitMinutes": 5}), accepted()) as server:
        first = send(database, server.base_url, who=asked("once"))
        second = send(database, server.base_url, who=asked("once"))
        third = send(database, server.base_url, who=asked("once"))
    assert (first.state, second.state, third) == ("throttled", "accepted", second)
    assert first.message_id != second.message_id
    assert len(server.requests) == 2


class StoppedBeforeTheCall(Database):
    """The process sleeps for a minute after its row is committed, and meanwhile another one sweeps."""

    transactions = 0

    def transaction(self) -> AbstractContextManager[Session]:
        self.transactions += 1
        if self.transactions == 3:  # the sweep of its own, the row, and now `sending`
            with super().transaction() as session:
                sending.settle_abandoned(session, NOW + timedelta(seconds=61))
        return super().transaction()


def test_a_message_declared_unsent_meanwhile_does_not_go_out_after_all(database: Database, store_url: str) -> None:
    stopped = StoppedBeforeTheCall(store_url)
    with Scripted(accepted()) as server:
        outcome = send(stopped, server.base_url)
    stopped.engine.dispose()
    assert (outcome.state, only_message(database).status) == ("unsent", "unsent")
    assert server.requests == []


def test_a_repeat_after_a_restart_gets_the_first_outcome(database: Database, store_url: str) -> None:
    with Scripted(accepted()) as server:
        first = send(database, server.base_url, who=asked("once"))
        database.engine.dispose()
        restarted = Database(store_url)
        assert send(restarted, server.base_url, who=asked("once")) == first
        restarted.engine.dispose()
    assert len(server.requests) == 1


def test_the_same_key_with_another_body_is_told_apart(database: Database) -> None:
    with Scripted(accepted()) as server:
        first = send(database, server.base_url, who=asked("once", b"one"))
        with pytest.raises(KeyReused) as reused:
            send(database, server.base_url, who=asked("once", b"two"))
    assert reused.value.message_id == first.message_id
    assert len(server.requests) == 1


def test_the_same_key_of_another_asker_is_another_request(database: Database) -> None:
    with Scripted(accepted()) as server:
        send(database, server.base_url, who=asked("once"))
        send(database, server.base_url, who=asked("once", by="key:billing"))
    assert len(server.requests) == 2


def test_without_a_key_the_same_request_is_sent_again(database: Database) -> None:
    with Scripted(accepted()) as server:
        assert send(database, server.base_url) != send(database, server.base_url)
    assert len(server.requests) == 2


def test_a_repeat_while_the_first_is_out_is_told_so(database: Database) -> None:
    told: list[UUID] = []

    def ask_again(_request: bytes) -> Sequence[Part]:
        with pytest.raises(StillRunning) as running:
            send(database, server.base_url, who=asked("once"))
        told.append(running.value.message_id)
        return accepted()

    with Scripted(ask_again) as server:
        outcome = send(database, server.base_url, who=asked("once"))
    assert told == [outcome.message_id]
    assert len(server.requests) == 1


def test_threads_with_the_same_key_send_once(database: Database) -> None:
    found: list[object] = []
    start = threading.Barrier(6)

    def ask() -> None:
        start.wait()
        try:
            found.append(send(database, server.base_url, who=asked("once")))
        except StillRunning as running:
            found.append(running)

    with Scripted([0.3, *accepted()]) as server:
        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(server.requests) == 1
    assert len(found) == 6
    assert sum(isinstance(each, Outcome) for each in found) == 1
    assert len(all_rows(database, Message)) == 1


# Owners that died


def settle(database: Database, after_s: float) -> None:
    with database.transaction() as session:
        sending.settle_abandoned(session, NOW + timedelta(seconds=after_s))


@pytest.mark.parametrize(("state", "becomes"), [("queued", "unsent"), ("sending", "unconfirmed")])
def test_an_abandoned_send_gets_its_honest_state(database: Database, state: str, becomes: str) -> None:
    left = add_message(database, send_state=state, estimate_iqd=80)
    settle(database, 61)
    row = get_message(database, left)
    assert (row.status, row.send_state) == (becomes, becomes)
    assert row.outcome is not None
    assert row.outcome["state"] == becomes
    assert counted(database) == recounted(database)


@pytest.mark.parametrize("state", ["queued", "sending"])
def test_a_send_that_may_still_run_is_left_alone(database: Database, state: str) -> None:
    running = add_message(database, send_state=state)
    settle(database, 59)
    assert get_message(database, running).status == state


def test_the_next_send_settles_what_was_abandoned(database: Database) -> None:
    left = add_message(database, send_state="sending")
    send(database, "http://127.0.0.1:9/api", clock=lambda: NOW + timedelta(seconds=61))
    assert get_message(database, left).status == "unconfirmed"


def test_a_repeat_of_an_abandoned_send_is_answered_and_not_sent(database: Database) -> None:
    digest = STAMPER.fingerprint(b"{}")
    left = add_message(database, send_state="sending", once_key="once", request_digest=digest)
    receiving.receive(database, [arrival(left, callback("delivered", final=True))])  # so no sweep looks at it
    with Scripted(accepted()) as server:
        outcome = send(database, server.base_url, who=asked("once"), clock=lambda: NOW + timedelta(seconds=61))
    assert (outcome.message_id, outcome.state) == (left, "unconfirmed")
    assert server.requests == []
    assert get_message(database, left).status == "delivered"


def test_who_was_slow_yet_settled_his_send_is_not_taken_for_gone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = sending._held

    def settled_while_waited_for(session: Session, message_id: UUID) -> Message:
        told = {"state": "accepted", "message_id": str(message_id)}
        session.execute(update(Message).where(Message.id == message_id).values(outcome=told, send_state="accepted"))
        return hold(session, message_id)

    message = add_message(database, NOW - timedelta(minutes=2), send_state=Status.SENDING, once_key="1")
    digest = STAMPER.fingerprint(b"{}")
    with database.transaction() as session:
        session.get_one(Message, message).request_digest = digest
    with database.transaction() as session:
        monkeypatch.setattr(sending, "_held", settled_while_waited_for)
        found = sending._earlier(session, STAMPER, asked("1"), NOW)
    assert found is not None
    assert (found.send_state, found.outcome and found.outcome["state"]) == ("accepted", "accepted")


def test_a_callback_settles_an_abandoned_send(database: Database) -> None:
    left = add_message(database, send_state="sending")
    settle(database, 61)
    receiving.receive(database, [arrival(left, callback("delivered", final=True))])
    assert get_message(database, left).status == "delivered"


# A store that fails


@pytest.mark.parametrize("is_committed", [False, True], ids=["lost whole", "lost its answer"])
def test_a_store_that_blinks_after_the_call_holds_the_outcome_once(
    database: Database, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    whole, blinks = database.transaction, list[int]()

    @contextmanager
    def blinking() -> Iterator[Session]:
        with whole() as session:
            yield session
            is_settling = any(isinstance(new, Exchange) for new in session.new)
            if not is_settling or len(blinks) == 2:
                return
            blinks.append(1)
            if not is_committed:
                raise StoreAway("locked")
        raise StoreAway("the line broke")

    monkeypatch.setattr(database, "transaction", blinking)
    with Scripted(accepted("sms-7")) as server:
        first = send(database, server.base_url, who=asked("once"))
        again = send(database, server.base_url, who=asked("once"))
    assert (first.state, first) == ("accepted", again)
    assert len(server.requests) == 1
    assert len(blinks) == (1 if is_committed else 2)
    assert len(all_rows(database, Exchange)) == len(all_rows(database, BalanceReading)) == 1


def test_a_store_that_fails_after_the_call_does_not_hide_the_outcome(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_ANSWERS_WITHIN_S", 0.0)

    def break_the_store(_request: bytes) -> Sequence[Part]:
        with database.transaction() as session:
            session.execute(text("ALTER TABLE exchange RENAME TO exchange_away"))
        return accepted("sms-7")

    try:
        with Scripted(break_the_store) as server:
            outcome = send(database, server.base_url)
    finally:
        with database.transaction() as session:
            session.execute(text("ALTER TABLE exchange_away RENAME TO exchange"))
    assert (outcome.state, outcome.sms_id) == ("accepted", "sms-7")
    settle(database, 61)
    assert get_message(database, outcome.message_id).status == "unconfirmed"


def test_a_store_that_is_away_before_the_call_lets_nothing_leave() -> None:
    away = Database("postgresql+psycopg://wasl@127.0.0.1:9/wasl")
    with Scripted(accepted()) as server, pytest.raises(StoreAway):
        send(away, server.base_url)
    assert server.requests == []


# Never at rest

ECHO = answer(400, {"error": f"{CODE} to 9647701234567", "errors": {CODE: [CODE]}, "deep": [{CODE: int(CODE)}]})


@pytest.mark.parametrize(
    "script", [accepted(echo=CODE), ECHO, answer(500, {"message": CODE}), answer(200, CODE.encode()), [CODE.encode()]]
)
def test_no_column_holds_a_code_a_parameter_or_a_secret(database: Database, script: list[bytes]) -> None:
    template = {"whatsappAccountId": "a", "whatsappPhoneId": "p", "templateName": "otp", "smsType": "whatsapp-template"}
    parameters = {"body": {"1": CODE, "2": "Zainab"}}
    with Scripted(script) as server:
        first = send(database, server.base_url, who=asked("once", CODE.encode()))
        send(database, server.base_url, otp(templateParameters=parameters, **template))
    stored = everything_stored(database)
    for hidden in (CODE, "Zainab", STAMPER.issue(first.message_id).secret, KEY):
        assert hidden not in stored


def test_a_number_stands_in_its_own_columns_only(database: Database) -> None:
    with Scripted(ECHO) as server:
        send(database, server.base_url)
    stored = everything_stored(database)
    assert stored.count("7701234567") == 1


# Asking again


def test_what_can_be_asked_again_carries_no_code(database: Database) -> None:
    with Scripted(accepted()) as server:
        outcome = send(database, server.base_url, otp(reference="order-1", provider="sms"))
    again = sending.find_repeatable(database, outcome.message_id)
    assert again is not None
    assert (again.phone, again.fields["smsType"], again.reference) == (
        "9647701234567",
        "verification",
        "order-1",
    )
    assert CODE not in repr(again)


def test_a_message_without_a_number_cannot_be_asked_again(database: Database) -> None:
    assert sending.find_repeatable(database, add_message(database, phone=None, phone_end=None)) is None
    assert all_rows(database, Callback) == []
