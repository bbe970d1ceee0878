"""Dataset builder for the Chandra Source Catalog: catalogue, archive and literature services.

Each service has an independent client. Work and results are kept in a store on disk, so that a
build can be killed at any time and resumed.
"""
