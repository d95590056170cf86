"""What HTTP endpoints speak: how samples become requests, and responses outputs."""
