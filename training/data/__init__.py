"""Training data: pairs and streaming."""
