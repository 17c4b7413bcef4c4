"""Every word a reader sees is marked for translation, and translated.

With each translated text in ⟦ ⟧, no letter stands outside; with the catalogues themselves, no text is in English.
"""

import ast
import re
from datetime import UTC, datetime, timedelta

import pytest
from babel.support import NullTranslations
from bs4 import BeautifulSoup, Comment, Doctype, NavigableString, Tag
from flask import Flask
from flask_babel import get_domain, get_locale
from jinja2 import nodes
from jinja2.defaults import DEFAULT_FILTERS

from webhook_app import receiving, sources
from webhook_app.simulator.misbehaviours import Misbehaviour, suffix_of
from webhook_app.status import Fact, Status

from .browsing import Browser, send
from .checks.translations import SAME_EVERYWHERE
from .conftest import HTTPS, csrf_token, sign_in
from .rows import add_message, arrival, callback
from .test_house import PACKAGE

# Names are the same in every language (the simulator's senders too); days and months come from the locale itself.
NAMES = re.compile(
    r"\b(Wasl|OTPIQ|WhatsApp|Telegram|IQD|smsId|curl|Python|PHP|JavaScript|UTC|WaslDemo|MyShop|NewBrand|BigBank)\b|وصل|"
    r"^(\w{3} )?\d+( \w{3})?$|\b(Sat|Sun|Mon|Tue|Wed|Thu|Fri)(ur|nes|rs|s)?(day)?\b|\b[A-Z][a-z]+ \d{4}\b"
)
NOT_WORDS = ("bdi", "code", "pre", "time", "kbd", "script", "style")
READ_ALOUD = ("aria-label", "placeholder", "alt")
OPEN_SENDS = (Status.QUEUED, Status.SENDING, Status.UNCONFIRMED)
CLOSED_SENDS = (Status.REJECTED, Status.THROTTLED, Status.UNSENT)
LETTER = re.compile(r"[^\W\d_]")
ENGLISH = re.compile(r"[A-Za-z]{2}")
ARABIC = re.compile(r"[\u0620-\u06ff]")


class Marked(NullTranslations):
    """A language in which every text is itself, between brackets."""

    def ugettext(self, message: str) -> str:
        return f"⟦{message}⟧"

    def ungettext(self, one: str, many: str, num: int) -> str:
        return f"⟦{one if num == 1 else many}⟧"


@pytest.fixture
def reader(simulated: Flask) -> Browser:
    """A browser whose pages mark what was translated; the names in the store have no letters."""
    with simulated.test_request_context():
        domain = get_domain()
        domain.cache[str(get_locale()), "messages"] = Marked()
    return Browser(sign_in(simulated, "12345"))


def unmarked(html: bytes) -> list[str]:
    """The texts, and the attributes that are read aloud, with a letter outside the brackets."""
    soup = BeautifulSoup(html, "html.parser")
    found, depth = [], 0
    for node in soup.descendants:
        if isinstance(node, Tag):
            found += [f"{name}={node[name]}" for name in READ_ALOUD if outside(str(node.get(name, "")), 0)[0]]
        elif isinstance(node, NavigableString) and not isinstance(node, Comment | Doctype):
            text, depth = outside(str(node), depth)
            if text and not node.find_parent(NOT_WORDS) and not node.find_parent(translate="no"):
                found.append(" ".join(str(node).split()))
    return found


def outside(text: str, depth: int) -> tuple[bool, int]:
    """Whether a letter of `text` stands outside all brackets, and how deep in them it ends."""
    found = False
    for character in NAMES.sub("", text):
        depth += {"⟦": 1, "⟧": -1}.get(character, 0)
        found = found or (depth == 0 and bool(LETTER.match(character)))
    return found, depth


def in_english(html: bytes) -> list[str]:
    """The texts, and the attributes that are read aloud, with Latin letters and none of Arabic or Kurdish."""
    soup = BeautifulSoup(html, "html.parser")
    attributes = [str(tag[name]) for name in READ_ALOUD for tag in soup.find_all(attrs={name: True})]
    texts = [
        str(node)
        for node in soup.find_all(string=True)
        if not isinstance(node, Comment | Doctype)
        and not node.find_parent(NOT_WORDS)
        and not node.find_parent(translate="no")
    ]
    names = re.compile("|".join(map(re.escape, SAME_EVERYWHERE)))
    return [
        text
        for text in (*attributes, *texts)
        if ENGLISH.search(names.sub("", NAMES.sub("", text))) and not ARABIC.search(text)
    ]


@pytest.fixture
def some_of_everything(simulated: Flask) -> list[str]:
    """A message in each state, with callbacks, trackings and anomalies; returns their pages."""
    database, now = simulated.extensions["wasl"].database, datetime.now(UTC)
    source = sources.add(database, "1", now)
    common = {"asked_by": "1", "reference": "777"}
    ids = [
        add_message(database, now, send_state=state, outcome={"words": ""}, **common)
        for state in (*OPEN_SENDS, *CLOSED_SENDS)
    ]
    stories: list[list[Fact]] = [
        [],
        [Fact(at=now, word="sent", channel="sms")],
        [Fact(at=now, word="sent", channel="sms", is_final=True)],
        [Fact(at=now, word="failed", channel="whatsapp")],
        [Fact(at=now, word="failed", channel="sms", is_final=True)],
        [Fact(at=now, word="failed", channel="whatsapp"), Fact(at=now, word="delivered", channel="sms", is_final=True)],
        [Fact(at=now, word="read", channel="telegram"), Fact(at=now, word="failed", channel="telegram")],
        [Fact(at=now, word="sent", sms_id="1"), Fact(at=now, word="sent", sms_id="2")],
    ]
    ids += [add_message(database, now - timedelta(days=4), facts=facts, **common) for facts in stories]
    ids += [add_message(database, now, source_id=source.id, provider=None, **common)]
    ids += [add_message(database, now, is_sample=True, sms_type="custom", custom_text="1", **common)]
    ids += [add_message(database, now, again_of=ids[0], sms_type="whatsapp-template", **common)]
    for raw in (callback("sent"), callback("sent"), callback("failed", "whatsapp"), b"{", callback("read", final=True)):
        receiving.receive(database, [arrival(ids[0], raw, now)])
    return [f"/messages/{message_id}" for message_id in ids]


def test_every_page_is_marked_while_there_is_nothing_to_show(reader: Browser) -> None:
    for path in ("/", "/messages", "/messages?status=failed", "/send", "/sources", "/nope", "/messages?status=x"):
        assert (path, unmarked(reader.get(path).data)) == (path, [])


def test_every_page_is_marked_when_there_is_some_of_everything(reader: Browser, some_of_everything: list[str]) -> None:
    for path in everywhere(some_of_everything):
        assert (path, unmarked(reader.get(path).data)) == (path, [])


@pytest.mark.parametrize("language", ["ar", "ckb"])
def test_no_page_has_a_text_in_english_left(simulated: Flask, some_of_everything: list[str], language: str) -> None:
    reader = Browser(sign_in(simulated, "12345"))
    for path in (*everywhere(some_of_everything), "/nope", "/messages?status=x"):
        page = reader.get(path, **{"Accept-Language": language}).data
        assert (path, in_english(page)) == (path, [])


def test_no_template_gives_a_filter_of_ours_a_constant(app: Flask) -> None:
    """Jinja works it out once, when the template is first used: its first reader's language would stay for all."""
    ours = app.jinja_env.filters.keys() - DEFAULT_FILTERS.keys()
    for path in sorted((PACKAGE.parent / "templates").rglob("*.html")):
        tree = app.jinja_env.parse(path.read_text())
        constant = [one for one in tree.find_all(nodes.Filter) if one.name in ours and is_constant(one.node)]
        assert (path.name, [(one.name, one.lineno) for one in constant]) == (path.name, [])


def is_constant(node: nodes.Expr | None) -> bool:
    if isinstance(node, nodes.Filter):
        return is_constant(node.node)
    return isinstance(node, nodes.Literal)


def everywhere(some_of_everything: list[str]) -> list[str]:
    """The addresses of all pages and their live parts."""
    again = some_of_everything[1].rsplit("/", 1)[1]
    paths = ["/", "/?range=7d", "/?range=30d", "/messages", "/sources", f"/send?again={again}", *some_of_everything]
    paths += ["/messages?carrier=zain&channel=sms&type=custom", "/messages?from=2026-11-01&to=2026-11-02"]
    paths += ["/messages/export", "/callbacks", "/callbacks/refused", "/spend", "/spend?month=2026-01", "/settings"]
    paths += [f"{path}?fragment=live" for path in ("/", "/messages", some_of_everything[0])]
    return paths


def test_each_mark_holds_one_text() -> None:
    """Out of `gettext("a" if b else "c")` the extraction would make one text, "ac", that nothing ever asks for."""
    marks = ("gettext", "ngettext", "N_", "_")
    calls = [
        (path.name, node)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in marks
    ]
    torn = [
        (name, call.lineno) for name, call in calls if isinstance(call.args[0], ast.IfExp | ast.BinOp | ast.JoinedStr)
    ]
    assert torn == []


def test_the_sign_in_page_is_marked_also_when_it_refuses(reader: Browser, simulated: Flask) -> None:
    client = simulated.test_client()
    assert unmarked(client.get("/sign-in").data) == []
    for _ in range(6):
        data = {"name": "1", "password": "1", "csrf_token": csrf_token(client)}
        answer = client.post("/sign-in", data=data, **HTTPS)
        assert unmarked(answer.data) == []
    assert answer.status_code == 429


def test_what_the_send_form_says_is_marked(reader: Browser) -> None:
    mistakes = {"phoneNumber": "1", "verificationCode": "", "provider": "1", "smsType": "verification"}
    answers = [send(reader, **mistakes), send(reader, smsType="1"), send(reader, smsType="whatsapp-template")]
    answers += [send(reader, smsType="custom", customMessage="1" * 2000)]
    for answer in answers:
        assert answer.status_code == 400
        assert unmarked(answer.data) == []


def test_every_refusal_is_marked_but_for_otpiq_s_own_words(reader: Browser) -> None:
    for misbehaviour in Misbehaviour:
        if misbehaviour.refuses and misbehaviour not in (Misbehaviour.PROVIDER_FAULT, Misbehaviour.REDIRECT):
            answer = send(reader, f"9647707654{suffix_of(misbehaviour)}")
            assert (misbehaviour, answer.status_code, unmarked(answer.data)) == (misbehaviour, 400, [])


def test_the_type_of_a_source_s_message_is_marked(reader: Browser, simulated: Flask) -> None:
    database, now = simulated.extensions["wasl"].database, datetime.now(UTC)
    source = sources.add(database, "1", now)
    add_message(database, now, source_id=source.id, asked_by="1", sms_type="unknown")
    assert unmarked(reader.get("/messages").data) == []
