"""The floor: what Flask costs that checks the HMAC, parses the JSON, answers 200 and stores nothing."""

from flask import Flask, Response, abort, jsonify, request

from webhook_app.settings import Settings
from webhook_app.stamp import Stamper


def create_floor(config: Settings) -> Flask:
    app = Flask(__name__)
    stamper = Stamper(config.secret_keys, config.public_url)

    @app.post("/callbacks/otpiq/<target_id>")
    def receive(target_id: str) -> Response:
        if not stamper.check(target_id, request.headers.get("X-OTPIQ-Webhook-Secret", "").encode()):
            abort(401)
        return jsonify(status="ok", verdict=request.get_json()["status"])

    @app.get("/readyz")
    def ready() -> str:
        return "ok"

    return app
