"""Numbers in, answers out: the HTTP service, the command line, the report page."""

from tracecanary.api.app import create_app

__all__ = ["create_app"]
