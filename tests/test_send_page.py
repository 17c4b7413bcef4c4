"""The Send page: mistakes at their fields, refusals in plain words, one message for one form, and sending again."""

from uuid import uuid4

import pytest
from bs4 import BeautifulSoup, Tag
from flask import Flask

from webhook_app.database import Database
from webhook_app.models import Message
from webhook_app.sending import Outcome
from webhook_app.simulator.misbehaviours import Misbehaviour, suffix_of
from webhook_app.simulator.server import Simulator
from webhook_app.status import Status
from webhook_app.web import forms
from webhook_app.web.forms import refusal

from .browsing import PHONE, SPELLINGS, Browser, form_to, send, words
from .conftest import sign_in
from .rows import all_rows


@pytest.fixture
def browser(app: Flask) -> Browser:
    """Its OTPIQ is out of reach."""
    return Browser(sign_in(app))


@pytest.fixture
def sending(simulated: Flask) -> Browser:
    return Browser(sign_in(simulated))


def test_a_sent_message_leads_to_its_page(sending: Browser, database: Database) -> None:
    answer = send(sending, "٠٧٧٠ ٧٦٥ ٤٣٢١", reference="order-7")
    (message,) = all_rows(database, Message)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/messages/{message.id}")
    assert (message.phone, message.asked_by, message.reference) == (PHONE, "user:sara", "order-7")
    page = sending.soup(f"/messages/{message.id}")
    assert "+964 770 ••• 4321" in words(page)
    assert "never stored" in words(page)
    assert not [spelling for spelling in (*SPELLINGS, "493817") if spelling in str(page)]


def test_mistakes_are_shown_at_their_fields_and_what_was_typed_stays(browser: Browser, database: Database) -> None:
    answer = send(browser, "0770 12", verificationCode="", reference="order-7")
    soup = BeautifulSoup(answer.data, "html.parser")
    assert answer.status_code == 400
    errors = {str(error["id"]) for error in soup.select("p.error[id]")}
    assert errors == {"phoneNumber-error", "verificationCode-error"}
    number = soup.find(id="phoneNumber")
    assert isinstance(number, Tag)
    assert (number["value"], number["aria-invalid"]) == ("0770 12", "true")
    assert "phoneNumber-error" in str(number["aria-describedby"])
    reference = soup.find(id="reference")
    assert isinstance(reference, Tag)
    assert reference["value"] == "order-7"
    assert all_rows(database, Message) == []


def test_a_form_of_another_sign_in_is_shown_again_as_it_was_typed_and_sends_nothing(
    sending: Browser, database: Database
) -> None:
    answer = send(sending, reference="order-7", csrf_token="another's")
    soup = BeautifulSoup(answer.data, "html.parser")
    assert (answer.status_code, all_rows(database, Message)) == (400, [])
    assert "Look at it once more, then send it." in words(answer)
    typed = {name: soup.find(id=name) for name in ("phoneNumber", "reference")}
    assert {name: field["value"] for name, field in typed.items() if isinstance(field, Tag)} == {
        "phoneNumber": PHONE,
        "reference": "order-7",
    }
    assert sending.submit(form_to(soup, "/send"), verificationCode="493817").status_code == 303


MISTAKES = (
    ({"smsType": "custom", "customMessage": "hi"}, "senderId"),
    ({"smsType": "pigeon"}, "smsType"),
    ({"provider": "pigeon"}, "provider"),
    ({"smsType": "whatsapp-template", "templateParameters": "{not JSON"}, "templateParameters"),
    ({"smsType": "whatsapp-template", "templateParameters": "[" * 5000}, "templateParameters"),
    ({"smsType": "whatsapp-template", "templateParameters": "{}", "templateName": ""}, "templateName"),
    ({"verificationCode": "1" * 21}, "verificationCode"),
)


def test_a_template_s_values_are_typed_one_a_line_or_as_json(app: Flask) -> None:
    form = {"smsType": "whatsapp-template", "phoneNumber": PHONE, "templateName": "t", "reference": ""}
    form |= {"whatsappAccountId": "1", "whatsappPhoneId": "2", "senderId": ""}
    for typed, parameters in (
        (" 482913\r\n10 \r\n", {"body": {"1": "482913", "2": "10"}}),
        ('{"body": {"1": "Ali"}}', {"body": {"1": "Ali"}}),
    ):
        with app.test_request_context():
            assert forms.read(form | {"templateParameters": typed}, None).template_parameters == parameters


def test_each_mistake_stands_at_its_own_field(browser: Browser) -> None:
    for typed, field in MISTAKES:
        answer = send(browser, **typed)
        assert answer.status_code == 400
        assert BeautifulSoup(answer.data, "html.parser").find(id=f"{field}-error"), field


def test_a_form_submitted_twice_sends_once(sending: Browser, database: Database, simulator: Simulator) -> None:
    form = form_to(sending.soup("/send"), "/send")
    typed = {"phoneNumber": PHONE, "verificationCode": "493817"}
    first, second = (sending.submit(form, **typed) for _ in range(2))
    assert (first.status_code, first.headers["Location"]) == (second.status_code, second.headers["Location"])
    assert (len(all_rows(database, Message)), len(simulator.ledger.sends)) == (1, 1)


def test_a_form_sent_before_with_other_contents_is_shown_again(sending: Browser, simulator: Simulator) -> None:
    form = form_to(sending.soup("/send"), "/send")
    sending.submit(form, phoneNumber=PHONE, verificationCode="493817")
    answer = sending.submit(form, phoneNumber=PHONE, verificationCode="111111")
    assert answer.status_code == 400
    assert "This form was sent before with other contents" in words(answer)
    assert len(simulator.ledger.sends) == 1


REFUSALS = {
    Misbehaviour.INSUFFICIENT_CREDIT: "The balance does not cover this message. It needs",
    Misbehaviour.SPENDING_THRESHOLD: "The project's spending limit would be passed.",
    Misbehaviour.TRIAL_MODE: "The account is in trial mode.",
    Misbehaviour.BAD_SENDER: "This sender is not approved.",
    Misbehaviour.BAD_REQUEST: "OTPIQ found a mistake in the request.",
    Misbehaviour.BAD_KEY: "OTPIQ refuses the key that Wasl uses.",
    Misbehaviour.RATE_LIMITED: "Sending is possible again in 5 minutes.",
}


def test_a_refusal_is_told_in_plain_words_beside_otpiq_s_own(sending: Browser) -> None:
    for misbehaviour, sentence in REFUSALS.items():
        answer = send(sending, f"9647707654{suffix_of(misbehaviour)}")
        assert answer.status_code == 400
        assert sentence in words(answer)
        assert "OTPIQ's words: “" in words(answer)


def test_what_otpiq_says_of_a_field_stands_at_it(sending: Browser) -> None:
    answer = send(sending, f"9647707654{suffix_of(Misbehaviour.BAD_FIELDS)}")
    soup = BeautifulSoup(answer.data, "html.parser")
    assert [error.get_text(strip=True) for error in soup.select("#phoneNumber-error, #smsType-error")] == [
        "OTPIQ's words: “Not available for this number.”",
        "OTPIQ's words: “The number cannot be reached.”",
    ]
    assert "See what it says of each field." in words(answer)


def test_where_otpiq_names_no_field_none_is_promised(sending: Browser) -> None:
    answer = send(sending, f"9647707654{suffix_of(Misbehaviour.BAD_REQUEST)}")
    assert "OTPIQ found a mistake in the request. Nothing was sent and nothing charged." in words(answer)


def test_what_otpiq_says_of_a_field_that_is_not_there_is_listed(app: Flask) -> None:
    errors = {"customMessage": ["too long"], "deliveryReport": ["not allowed"]}
    outcome = Outcome(message_id=uuid4(), state=Status.REJECTED, kind="invalid", errors=errors)
    with app.test_request_context():
        assert refusal({"smsType": "custom"}, outcome).errors == {"deliveryReport": ["not allowed"]}


def test_an_own_text_is_given_the_first_approved_sender(sending: Browser) -> None:
    chosen = sending.soup("/send?type=custom").select("[name=senderId][checked]")
    assert [option["value"] for option in chosen] == ["WaslDemo"]
    assert [option["value"] for option in sending.soup("/send").select("[name=senderId][checked]")] == [""]


def test_an_own_text_without_a_sender_asks_to_choose_one(sending: Browser, simulator: Simulator) -> None:
    answer = send(sending, smsType="custom", customMessage="hi", senderId="")
    soup = BeautifulSoup(answer.data, "html.parser")
    assert answer.status_code == 400
    assert "Choose a sender" in words(answer)
    assert [option["value"] for option in soup.select("[name=senderId][checked]")] == ["WaslDemo"]
    assert simulator.ledger.sends == []


def test_the_preview_shows_an_own_text_while_it_is_typed_and_never_a_code(browser: Browser) -> None:
    form = form_to(browser.soup("/send"), "/send")
    form["action"] = "/send/look"
    look = browser.submit(form, smsType="custom", customMessage="Your <b>order</b>", verificationCode="493817")
    preview = BeautifulSoup(look.data, "html.parser").select_one(".preview .for-custom")
    assert preview is not None
    assert preview.get_text(strip=True) == "Your <b>order</b>"
    assert "493817" not in look.text


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", ""),
        ("0770 12", "The number is not complete yet."),
        ("0770 123 4567 8901", "must be a phone number of 10 to 15 digits, such as 0770 123 4567 or +964 770 123 4567"),
        ("٠٧٧٠ ١٢٣ ٤٥٦٧", "+964 770 123 4567 Asiacell"),
        ("0750 123 4567", "+964 750 123 4567 Korek"),
        ("+1 202 555 0100", "+12025550100 Other Not the usual shape of an Iraqi mobile number: check it once more."),
    ],
)
def test_a_number_is_told_as_it_is_understood_while_it_is_typed(browser: Browser, typed: str, said: str) -> None:
    form = form_to(browser.soup("/send"), "/send")
    form["action"] = "/send/look"
    look = BeautifulSoup(browser.submit(form, phoneNumber=typed).data, "html.parser")
    for elsewhere in look.select("[hx-swap-oob]"):
        elsewhere.decompose()
    assert words(look) == said


def test_to_send_a_message_again_that_is_not_there_is_a_404(browser: Browser) -> None:
    answer = browser.get(f"/send?again={uuid4()}")
    assert answer.status_code == 404
    assert "There is no message with this id" in words(answer)


def test_with_otpiq_out_of_reach_it_says_that_nothing_was_sent(browser: Browser) -> None:
    answer = send(browser)
    assert answer.status_code == 400
    assert "OTPIQ could not be reached: not sent. It is safe to send again." in words(answer)


def test_after_a_refusal_the_same_form_can_be_sent_again(sending: Browser, database: Database) -> None:
    refused = send(sending, f"9647707654{suffix_of(Misbehaviour.TRIAL_MODE)}")
    again = form_to(BeautifulSoup(refused.data, "html.parser"), "/send")
    assert sending.submit(again, phoneNumber=PHONE, verificationCode="493817").status_code == 303
    assert [message.status for message in all_rows(database, Message)] == ["rejected", "accepted"]


def test_send_again_keeps_the_number_on_the_server_and_links_the_two(sending: Browser, database: Database) -> None:
    first = send(sending).headers["Location"]
    link = sending.soup(first).select_one("a[href^='/send?again=']")
    assert link is not None
    page = sending.soup(str(link["href"]))
    assert "+964 770 ••• 4321" in words(page)
    assert "This is a second message: it is charged too" in words(page)
    assert not [spelling for spelling in SPELLINGS if spelling in str(page)]

    answer = sending.submit(form_to(page, "/send"), verificationCode="222222")

    second = answer.headers["Location"]
    assert [message.phone for message in all_rows(database, Message)] == [PHONE, PHONE]
    assert sending.soup(first).select_one(f"main a[href='{second}']")
    assert sending.soup(second).select_one(f"main a[href='{first}']")
