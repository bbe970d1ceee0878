"""A small universe seen by Chandra, whose truth is known."""
