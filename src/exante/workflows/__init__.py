"""What a user starts, from the command line or from Python: recipes, evaluations, comparisons."""
