"""Work folder of a build: queue, results and cached responses in one SQLite file."""
