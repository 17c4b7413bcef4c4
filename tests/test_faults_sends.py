"""The short tier of the sends run, and the simulator's part in it."""

import httpx
import pytest

from webhook_app.simulator.plots import Rates
from webhook_app.simulator.server import Simulator

from .faults import sends


def test_no_message_is_sent_twice_whatever_otpiq_and_a_kill_do(store_url: str) -> None:
    (told,) = sends.run(0.005, {"the store": store_url})
    assert told.endswith("all right")


def test_a_simulated_reset_comes_after_the_charge() -> None:
    body = {"phoneNumber": "9647801234567", "smsType": "verification", "verificationCode": "1234"}
    with Simulator(speed=20, rates=Rates(reset=1.0)) as simulator:
        with pytest.raises(httpx.ReadError):
            httpx.post(
                f"{simulator.base_url}/sms", json=body, headers={"Authorization": "Bearer sk_dev_1"}, trust_env=False
            )
        assert len(simulator.ledger.sends) == 1
