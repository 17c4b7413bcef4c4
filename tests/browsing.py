"""A browser without JavaScript: it follows links, fills in the forms it is shown, and reads what is written."""

from bs4 import BeautifulSoup, Tag
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from .conftest import HTTPS, PUBLIC_URL

PHONE = "9647707654321"
SPELLINGS = (PHONE, "07707654321", "0770 765 4321", "+964 770 765 4321", "٠٧٧٠٧٦٥٤٣٢١")


class Browser:
    """A signed-in browser without JavaScript: it follows links and posts the forms it is shown."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client
        self.visited: list[str] = []

    def get(self, path: str, **headers: str) -> TestResponse:
        self.visited.append(path)
        return self.client.get(path, base_url=PUBLIC_URL, headers=headers)

    def soup(self, path: str) -> BeautifulSoup:
        answer = self.get(path)
        assert answer.status_code == 200
        return BeautifulSoup(answer.data, "html.parser")

    def submit(self, form: Tag, **typed: str) -> TestResponse:
        """Post (or get) `form` as it stands in its page, with some fields filled in otherwise."""
        fields = {str(field["name"]): value_of(field) for field in form.select("[name]") if value_of(field) is not None}
        self.visited.append(str(form["action"]))
        return self.client.post(str(form["action"]), data=fields | typed, **HTTPS)

    def search(self, typed: str) -> TestResponse:
        """Look for it among the messages; the results."""
        answer = self.submit(form_to(self.soup("/messages"), "/messages/search"), q=typed)
        return self.get(str(answer.location)) if answer.status_code == 303 else answer


def value_of(field: Tag) -> str | None:
    if field.name == "textarea":
        return field.text
    if field.get("type") in ("radio", "checkbox"):
        return str(field["value"]) if field.has_attr("checked") else None
    return None if field.name == "button" else str(field.get("value", ""))


def form_to(soup: BeautifulSoup, action: str) -> Tag:
    form = soup.find("form", action=action, method="post")
    assert isinstance(form, Tag), f"no form to {action}"
    return form


def words(answer: TestResponse | BeautifulSoup) -> str:
    soup = answer if isinstance(answer, BeautifulSoup) else BeautifulSoup(answer.data, "html.parser")
    return " ".join(soup.get_text(" ").split())


def send(browser: Browser, phone: str = PHONE, **typed: str) -> TestResponse:
    fields = {"phoneNumber": phone, "verificationCode": "493817", **typed}
    return browser.submit(form_to(browser.soup("/send"), "/send"), **fields)
