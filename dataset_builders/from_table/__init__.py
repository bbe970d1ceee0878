"""A dataset from one table, or from files of spectra and texts, of a user's own."""
