"""Work folder of a build: queue, shards, rates."""
