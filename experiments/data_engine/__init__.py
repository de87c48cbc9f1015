"""The data engine at work: people at the server, and its loop."""
