"""Builder of a dataset from the sky: catalogue, archive and literature over the network.

Each client talks to one service and knows none of the others; what there is to do, and what became
of it, stands in a store on disk, so that a build can be killed at any moment and goes on.
"""
