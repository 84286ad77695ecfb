"""Loading and running language models: the only place besides `training` that sees transformers."""
