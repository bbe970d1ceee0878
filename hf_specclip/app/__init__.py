"""Web page: a spectrum in, its description out."""
