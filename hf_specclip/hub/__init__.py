"""Publishing on the Hugging Face Hub: models, datasets, spaces and their cards."""
