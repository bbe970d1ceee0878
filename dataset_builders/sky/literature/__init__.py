"""Literature of sources: ranked papers, summaries by language models and by extraction."""
