"""``python -m webhook`` is ``slimgate``."""

from webhook.cli.main import main

main()
