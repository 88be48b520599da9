"""Where requests come in: the HTTP API, the S3 worker, the command line."""
