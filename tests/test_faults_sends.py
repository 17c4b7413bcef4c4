"""The short tier of the sends run, and what the simulator does for it."""

import json
import socket
import struct

import httpx
import pytest

from webhook_app.simulator.plots import Rates
from webhook_app.simulator.server import Simulator

from .faults import sends


def test_no_message_is_sent_twice_whatever_otpiq_and_a_kill_do(store_url: str) -> None:
    (told,) = sends.run(0.003, {"the store": store_url})
    assert told.endswith("all right")


def test_a_simulated_reset_comes_after_the_charge() -> None:
    with Simulator(speed=20, rates=Rates(reset=1.0)) as simulator:
        with pytest.raises(httpx.ReadError):
            httpx.post(f"{simulator.base_url}/sms", json=otp("001"), headers=KEY, trust_env=False)
        assert len(simulator.ledger.sends) == 1


def test_the_callbacks_of_a_caller_who_hung_up_are_posted_all_the_same() -> None:
    with Simulator(speed=20) as simulator:
        hang_up_on(simulator, otp("001"))
        assert simulator.wait_until_quiet(20)
        assert simulator.ledger.sends[0].attempts


KEY = {"Authorization": "Bearer sk_dev_1"}


def otp(suffix: str) -> dict[str, object]:
    report = {"webhookUrl": "http://127.0.0.1:9/", "deliveryReportType": "all"}
    return {
        "phoneNumber": f"9647801234{suffix}",
        "smsType": "verification",
        "verificationCode": "1234",
        "provider": "sms",
        "deliveryReport": report,
    }


def hang_up_on(simulator: Simulator, body: dict[str, object]) -> None:
    """Ask, and reset the connection as soon as the answer is here: so it looks when a caller is killed."""
    raw = json.dumps(body).encode()
    head = f"POST /api/sms HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY['Authorization']}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
    address = httpx.URL(simulator.base_url)
    with socket.create_connection((address.host, address.port or 80)) as connection:
        connection.sendall(head.encode() + raw)
        while not connection.recv(4096).endswith(b"}"):
            pass
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
