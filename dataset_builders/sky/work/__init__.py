"""Work folder of a build: one store of items, answers and results."""
