"""Models, configurations, feature extraction and pipelines: the files saved beside weights."""
