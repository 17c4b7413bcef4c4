"""The stamp a send carries to OTPIQ and a callback brings back: our URL with the message's id, and its secret.

OTPIQ signs no delivery callback; it echoes the secret of that send. So each message has its own, HMAC-SHA256 of its id
under a master key: derived, never stored, worthless for any other message. Keys come newest first; the first one
stamps, all of them verify. Nothing here parses a body.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from uuid import UUID

from itsdangerous import Signer

_TIMESTAMP = re.compile(r"[0-9]{1,13}")
_MAX_AHEAD_S, _MAX_AGE_S = 5 * 60, 72 * 3600


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """What goes into `deliveryReport`. The secret stays out of repr()."""

    url: str
    secret: str = field(repr=False)


class Stamper:
    def __init__(self, secret_keys: tuple[str, ...], public_url: str) -> None:
        self._callback_url = f"{public_url}/callbacks/otpiq/"
        self._signers = [
            Signer(key, salt="wasl.callback", key_derivation="hmac", digest_method=hashlib.sha256)
            for key in secret_keys
        ]
        # Told apart without giving anything away: what a message or a source was stamped with (wasl doctor).
        self.key_names = tuple(hmac.digest(key.encode(), b"wasl.key_name", "sha256").hex()[:8] for key in secret_keys)
        self._digest_keys = [hmac.digest(key.encode(), b"wasl.fingerprint", "sha256") for key in secret_keys]

    def issue(self, target_id: UUID) -> Stamp:
        """The callback URL and secret of a message or a source."""
        return Stamp(
            url=f"{self._callback_url}{target_id}", secret=self._signers[0].get_signature(str(target_id)).decode()
        )

    def check(self, target_id: str, secret: bytes) -> str | None:
        """The name of the key whose secret this is, byte for byte, for the id as it stands in the URL; no I/O, never
        raises."""
        value = target_id.encode(errors="replace")
        # Every key is tried, found or not, so that the time tells nothing.
        fits = [hmac.compare_digest(signer.get_signature(value), secret) for signer in self._signers]
        return next((name for name, fit in zip(self.key_names, fits, strict=True) if fit), None)

    def fingerprint(self, document: bytes) -> str:
        """A digest to recognise a repeated request by. Keyed: a bare hash of a body would give a 6-digit code away."""
        return hmac.new(self._digest_keys[0], document, "sha256").hexdigest()

    def is_fingerprint(self, document: bytes, digest: str) -> bool:
        return any(
            hmac.compare_digest(hmac.new(key, document, "sha256").hexdigest(), digest) for key in self._digest_keys
        )


def session_keys(secret_keys: tuple[str, ...]) -> list[str]:
    """Keys for the browser's cookie, one from each master key: a leak of the one must not open the other."""
    return [hmac.digest(key.encode(), b"wasl.session", "sha256").hex() for key in secret_keys]


def verify_signature(secret: bytes, timestamp: str, signature: str, raw: bytes, *, now_s: float) -> bool:
    """OTPIQ's second scheme: `sha256=<hex>` of HMAC-SHA256(secret, timestamp + "." + raw body)."""
    if not _TIMESTAMP.fullmatch(timestamp):
        return False
    # The provider does not say which unit it means: 13 digits are milliseconds.
    sent_at_s = int(timestamp) / 1000 if len(timestamp) == 13 else int(timestamp)
    if not -_MAX_AHEAD_S <= now_s - sent_at_s <= _MAX_AGE_S:
        return False
    expected = "sha256=" + hmac.new(secret, timestamp.encode() + b"." + raw, "sha256").hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode(errors="replace"))
