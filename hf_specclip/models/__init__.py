"""Models, configurations, feature extraction and pipelines, saved with the weights as code."""
