"""Builder of a dataset from local Parquet tables of detections and sources."""
