"""Training data: pairs, streaming, shards."""
