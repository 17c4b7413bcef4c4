import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app import status
from webhook_app.status import NOTHING, Delivery, Fact, Reached, Status, anomalies, fold, from_json, headline, to_json

NOON = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
WORDS = ["sent", "failed", "expired", "undelivered", "rejected", "delivered", "read", "pending", "on-its-way", "SENT"]
CHANNELS = ["sms", "whatsapp", "telegram", "viber", None]
PROVIDERS = ["auto", "whatsapp-sms", "telegram-sms", "sms", "whatsapp", None, "pigeon"]
MANY = settings(max_examples=200, deadline=None)

facts = st.builds(
    Fact,
    at=st.integers(0, 500).map(lambda seconds: NOON + timedelta(seconds=seconds)),
    word=st.sampled_from([*WORDS, None]),
    channel=st.sampled_from(CHANNELS),
    is_final=st.booleans(),
    reason=st.sampled_from([None, "", "Absent subscriber", "Carrier rejected the message"]),
    sms_id=st.sampled_from([None, "sms-1", "sms-2"]),
    cost_iqd=st.sampled_from([None, 0, 60, 80]),
    cost_from=st.sampled_from(["answer", "tracking"]),
    is_asked_for=st.booleans(),
)
histories = st.lists(facts, max_size=8)


def fact(word: str | None, channel: str | None = "sms", *, final: bool = False, at: float = 0, **more: object) -> Fact:
    return Fact(at=NOON + timedelta(seconds=at), word=word, channel=channel, is_final=final, **more)  # type: ignore[arg-type]


def shown(*said: Fact, provider: str | None = "auto") -> tuple[str, str | None, bool]:
    """Status, channel and closed; the same whichever way round the facts came."""
    there, back = (headline(fold(order), Status.ACCEPTED, provider) for order in (said, said[::-1]))
    assert there == back
    return there.status, there.channel, there.closed


# What no order, repeat or split can change


@given(histories, st.data())
@MANY
def test_any_order_gives_the_same_state(history: list[Fact], data: st.DataObject) -> None:
    assert fold(data.draw(st.permutations(history))) == fold(history)


@given(histories, st.data())
@MANY
def test_any_repetition_gives_the_same_state(history: list[Fact], data: st.DataObject) -> None:
    repeats = data.draw(st.lists(st.sampled_from(history), max_size=8)) if history else []
    assert fold(data.draw(st.permutations(history + repeats))) == fold(history)


@given(histories, histories)
@MANY
def test_a_fold_of_two_parts_is_the_join_of_their_folds(one: list[Fact], other: list[Fact]) -> None:
    assert fold(one + other) == fold(one).join(fold(other)) == fold(other).join(fold(one))


@given(histories, histories, histories)
@MANY
def test_join_is_associative_and_idempotent(a: list[Fact], b: list[Fact], c: list[Fact]) -> None:
    one, two, three = fold(a), fold(b), fold(c)
    assert one.join(two).join(three) == one.join(two.join(three))
    assert one.join(one) == one == one.join(NOTHING)


@given(histories, facts, st.sampled_from(PROVIDERS))
@MANY
def test_nothing_falls_from_delivered_or_read(history: list[Fact], late: Fact, provider: str | None) -> None:
    before = headline(fold(history), Status.ACCEPTED, provider).status
    after = headline(fold([*history, late]), Status.ACCEPTED, provider).status
    if before == Status.DELIVERED:
        assert after in (Status.DELIVERED, Status.READ)
    if before == Status.READ:
        assert after == Status.READ


@given(histories, facts)
@MANY
def test_a_channel_and_its_flags_only_rise(history: list[Fact], late: Fact) -> None:
    before, after = fold(history), fold([*history, late])
    for name, channel in before.channels.items():
        risen = after.channels[name]
        assert (risen.reached, risen.final, risen.gave_up) >= (channel.reached, channel.final, channel.gave_up)
        assert risen.final >= channel.final
        assert risen.gave_up >= channel.gave_up
    assert after.closed >= before.closed


@given(histories, st.sampled_from(PROVIDERS), st.sampled_from(status.SEND_STATES))
@MANY
def test_delivered_only_if_some_fact_said_so(history: list[Fact], provider: str | None, send_state: Status) -> None:
    words = {(said.word or "").lower() for said in history}
    told = headline(fold(history), send_state, provider).status
    assert (told == Status.READ) == ("read" in words)
    assert (told == Status.DELIVERED) == ("delivered" in words and "read" not in words)


@given(histories, st.sampled_from(PROVIDERS), st.sampled_from(status.SEND_STATES))
@MANY
def test_failed_only_if_some_fact_said_failed_and_final(
    history: list[Fact], provider: str | None, send_state: Status
) -> None:
    told = headline(fold(history), send_state, provider)
    if told.status == Status.FAILED:
        assert any(said.word in ("failed", "expired", "undelivered", "rejected") and said.is_final for said in history)


@given(histories, st.sampled_from(PROVIDERS), st.sampled_from(status.SEND_STATES))
@MANY
def test_the_sends_own_state_shows_only_while_the_provider_is_silent(
    history: list[Fact], provider: str | None, send_state: Status
) -> None:
    told = headline(fold(history), send_state, provider).status
    if history:
        assert told not in set(status.SEND_STATES) - {Status.ACCEPTED}
    else:
        assert told == send_state


@given(histories)
@MANY
def test_only_a_word_of_the_providers_own_breaks_its_silence(history: list[Fact]) -> None:
    own_words = [said.at for said in history if not said.is_asked_for]
    assert fold(history).last_at == max(own_words, default=None)


@given(histories, st.sampled_from(PROVIDERS))
@MANY
def test_what_was_asked_for_tells_as_much_as_what_was_called_back(history: list[Fact], provider: str | None) -> None:
    asked = [replace(said, is_asked_for=True) for said in history]
    assert headline(fold(asked), Status.ACCEPTED, provider) == headline(fold(history), Status.ACCEPTED, provider)


@given(histories)
@MANY
def test_the_stored_form_comes_back_whole_and_equal_states_are_equal_documents(history: list[Fact]) -> None:
    stored = json.dumps(to_json(fold(history)))
    assert from_json(json.loads(stored)) == fold(history)
    assert json.dumps(to_json(fold(history[::-1]))) == stored


# One test a row of the table of conflicts


def test_delivered_wins_over_an_earlier_final_failure() -> None:
    assert shown(fact("failed", final=True), fact("delivered", at=9)) == ("delivered", "sms", True)
    assert anomalies(fold([fact("failed", final=True), fact("delivered", at=9)]), Status.ACCEPTED) == ()


def test_delivered_wins_over_a_later_failure_which_is_noted() -> None:
    said = fact("delivered"), fact("failed", final=True, at=9)
    assert shown(*said) == ("delivered", "sms", True)
    assert anomalies(fold(said), Status.ACCEPTED) == ("failed_after_delivered",)


@pytest.mark.parametrize(("higher", "shown_as"), [("delivered", "delivered"), ("failed", "failed")])
def test_sent_after_delivered_or_failed_changes_nothing(higher: str, shown_as: str) -> None:
    assert shown(fact(higher, final=True), fact("sent", at=9)) == (shown_as, "sms", True)


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_a_fallback_that_arrives_is_delivered_by_the_last_channel(order: tuple[int, ...]) -> None:
    said = fact("failed", "whatsapp"), fact("sent", "sms", at=1), fact("delivered", "sms", final=True, at=2)
    assert shown(*(said[place] for place in order)) == ("delivered", "sms", True)


def test_a_final_failure_beats_sent_on_another_channel_until_delivered_comes() -> None:
    said = [fact("failed", "whatsapp", final=True), fact("sent", "sms", at=1)]
    assert shown(*said) == ("failed", "whatsapp", True)
    assert shown(*said, fact("delivered", "sms", at=2)) == ("delivered", "sms", True)


def test_a_final_sent_is_sent_and_closed() -> None:
    assert shown(fact("sent", final=True)) == ("sent", "sms", True)


@pytest.mark.parametrize("nothing", ["", None])
def test_an_empty_reason_does_not_replace_a_reason(nothing: str | None) -> None:
    said = [fact("failed", final=True, reason="Absent subscriber"), fact("failed", final=True, at=9, reason=nothing)]
    assert headline(fold(said), Status.ACCEPTED, "sms").reason == "Absent subscriber"


def test_of_two_channels_that_delivered_the_higher_is_named() -> None:
    said = fact("delivered", "whatsapp"), fact("read", "sms", at=9)
    assert shown(*said)[:2] == ("read", "sms")


@pytest.mark.parametrize(("provider", "first"), [("auto", "whatsapp"), ("telegram-sms", "telegram"), ("sms", "sms")])
def test_of_two_channels_alike_the_first_of_the_route_is_named(provider: str, first: str) -> None:
    said = fact("delivered", "sms"), fact("delivered", "telegram", at=1), fact("delivered", "whatsapp", at=2)
    assert shown(*said, provider=provider)[:2] == ("delivered", first)


@pytest.mark.parametrize("refused", [Status.REJECTED, Status.THROTTLED, Status.UNSENT])
def test_an_authentic_callback_wins_over_a_refused_send_and_raises_an_alarm(refused: Status) -> None:
    told = headline(fold([fact("sent")]), refused, "sms")
    assert (told.status, told.closed) == ("sent", False)
    assert anomalies(fold([fact("sent")]), refused) == ("refused_yet_reported",)


def test_the_same_cost_told_by_another_is_no_news_and_another_cost_is() -> None:
    answered = fold([fact("sent"), fact(None, cost_iqd=80)])
    for cost_iqd, is_news in ((80, False), (60, True)):
        told = fold([fact(None, cost_iqd=cost_iqd, cost_from="tracking")])
        assert answered.join(told).knows_more_than(answered) is is_news


def test_the_cost_of_tracking_wins_over_the_answers_whenever_they_come() -> None:
    answer = fact(None, cost_iqd=80, cost_from="answer")
    tracking = fact("sent", cost_iqd=60, cost_from="tracking", at=-9)
    for order in ([answer, tracking], [tracking, answer]):
        assert fold(order).charged_iqd == 60
        assert fold(order).cost_iqd == {"answer": 80, "tracking": 60}


def test_two_sms_ids_are_both_kept_and_raise_an_alarm() -> None:
    both = fold([fact("sent", sms_id="sms-1"), fact("sent", sms_id="sms-2", at=1)])
    assert both.sms_ids == {"sms-1", "sms-2"}
    assert anomalies(both, Status.ACCEPTED) == ("sent_twice",)


# The headline


@pytest.mark.parametrize("word", ["failed", "expired", "undelivered", "rejected"])
def test_a_failure_that_is_not_final_is_retrying(word: str) -> None:
    assert shown(fact(word, "whatsapp")) == ("retrying", "whatsapp", False)


def test_sent_on_the_next_channel_ends_retrying() -> None:
    assert shown(fact("failed", "whatsapp"), fact("sent", "sms", at=1)) == ("sent", "sms", False)


@pytest.mark.parametrize("word", ["pending", None, "lost-in-space"])
def test_a_word_that_moves_nothing_still_means_the_provider_has_it(word: str | None) -> None:
    assert headline(fold([fact(word)]), Status.UNCONFIRMED, "sms").status == Status.ACCEPTED


def test_an_unknown_word_is_kept() -> None:
    assert fold([fact("Lost-In-Space")]).unknown_words == {"lost-in-space"}
    assert fold([fact("pending")]).unknown_words == frozenset()


@pytest.mark.parametrize("channel", [None, "viber", "?"])
def test_a_missing_or_unknown_channel_counts_as_one_of_its_own(channel: str | None) -> None:
    assert shown(fact("delivered", channel)) == ("delivered", "?", True)


def test_a_final_reason_is_told_before_a_passing_one() -> None:
    said = [fact("failed", reason="A passing one"), fact("failed", final=True, at=1, reason="Number not in service")]
    assert headline(fold(said), Status.ACCEPTED, "sms").reason == "Number not in service"


def test_the_first_time_of_a_level_stays() -> None:
    said = fold([fact("delivered", at=5), fact("delivered", at=9)])
    assert headline(said, Status.ACCEPTED, "sms").at == NOON + timedelta(seconds=5)
    assert said.last_at == NOON + timedelta(seconds=9)


def test_an_answer_to_our_own_question_moves_the_status_and_not_the_time_of_the_last_word() -> None:
    said = fold([fact("sent"), fact("delivered", at=9, is_asked_for=True)])
    told = headline(said, Status.ACCEPTED, "sms")
    assert (told.status, told.at) == ("delivered", NOON + timedelta(seconds=9))
    assert said.last_at == NOON


@pytest.mark.parametrize("send_state", status.SEND_STATES)
def test_only_sends_that_ended_are_closed_without_a_word_from_the_provider(send_state: Status) -> None:
    told = headline(NOTHING, send_state, "auto")
    assert told.status == send_state
    assert told.closed == (send_state in (Status.REJECTED, Status.THROTTLED, Status.UNSENT))


@pytest.mark.parametrize(
    ("provider", "route"),
    [
        ("auto", ("whatsapp", "telegram", "sms")),
        ("whatsapp-telegram-sms", ("whatsapp", "telegram", "sms")),
        ("whatsapp-sms", ("whatsapp", "sms")),
        ("telegram-sms", ("telegram", "sms")),
        ("sms", ("sms",)),
        (None, ("whatsapp", "telegram", "sms")),
    ],
)
def test_the_route_is_read_from_the_provider_word(provider: str | None, route: tuple[str, ...]) -> None:
    assert status.route(provider) == route


@pytest.mark.parametrize(
    "closing", [lambda: fact("delivered"), lambda: fact("read"), lambda: fact("pending", final=True)]
)
def test_delivered_read_or_any_final_word_closes(closing: Callable[[], Fact]) -> None:
    assert fold([closing()]).closed
    assert not Delivery().closed
    assert fold([closing()]).channels["sms"].reached in (Reached.DELIVERED, Reached.READ, Reached.NONE)
