"""Work folder of a build: queue, answers of services, measured rates."""
