"""Publishing on the Hugging Face Hub: models, datasets, Spaces and their cards."""
