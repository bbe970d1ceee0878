"""Literature of a source: papers, full texts, summaries and their embeddings."""
