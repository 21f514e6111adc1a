"""Numbers in, answers out: the HTTP service, the command line, the report page."""
