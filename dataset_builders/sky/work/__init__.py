"""Work folder of a build: queue, and answers of services."""
