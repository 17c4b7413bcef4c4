"""The page a person sees at the simulator's own address: what this is, and which numbers misbehave how."""

from markupsafe import Markup

from webhook_app.simulator.misbehaviours import TRICKS, Trick

_PAGE = Markup("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>OTPIQ simulator</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; color: #1c2430; background: #fff; max-width: 48rem; margin: 2rem auto;
        padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; }}
code {{ background: #f0f2f5; padding: .1em .3em; border-radius: .2em; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: .4rem .6rem; border-bottom: 1px solid #dde2e8; vertical-align: top; }}
</style>
</head>
<body>
<h1>This is a simulator, not OTPIQ</h1>
<p>It takes the same calls as OTPIQ at <code>{base_url}</code> and calls back over real HTTP.
No message leaves this machine and nothing costs money. Any key that begins <code>sk_live_</code> or
<code>sk_dev_</code> is taken. It runs at {speed} times real speed.</p>
<p><a href="/__ledger">The ledger</a> lists every send, every callback and every refusal so far, as JSON.</p>
<h2>Numbers that misbehave</h2>
<p>Choose by the last three digits of the phone number; every other number behaves.</p>
<table>
<thead><tr><th scope="col">Ends in</th><th scope="col">Name</th><th scope="col">What happens</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</body>
</html>
""")
_ROW = Markup("<tr><td><code>…{suffix}</code></td><td>{name}</td><td>{sentence}</td></tr>")


def start_page(speed: float, origin: str) -> str:
    """The page as HTML; `origin` is this server's own, with its slash."""
    return _PAGE.format(base_url=f"{origin}api", speed=f"{speed:g}", rows=Markup("\n").join(map(_row, TRICKS)))


def _row(trick: Trick) -> Markup:
    return _ROW.format(suffix=trick.suffix, name=trick.misbehaviour.value, sentence=trick.sentence)
