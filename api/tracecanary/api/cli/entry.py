"""Where the command `tracecanary` starts."""

from __future__ import annotations

import gc
import sys

# As of most tools: 1 for what went wrong, 2 for how it was called.
EXIT_FAILED = 1


def main() -> None:
    """Run the command line, or say how to install it: `pip install tracecanary` brings the span processor alone."""
    # What is imported stays: to look it over for garbage again and again is an eighth of a service's start.
    gc.disable()
    try:
        from tracecanary.api.cli.main import run
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"error: the command line needs {error.name}, which is not installed. pip install 'tracecanary[server]'\n"
        )
        raise SystemExit(EXIT_FAILED) from None
    gc.enable()
    run()
