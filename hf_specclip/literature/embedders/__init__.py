"""Text embedders: local, OpenAI-compatible, and their cache."""
