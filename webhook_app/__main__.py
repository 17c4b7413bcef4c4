"""`python -m webhook_app` is `wasl`."""

from .cli import main

main()
