"""What OTLP is on the wire: HTTP and gRPC, status codes, tokens, and the service's own figures."""
