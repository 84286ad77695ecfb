"""Ex-ante reasoning preference optimisation: models that weigh the rules before they answer."""

__version__ = "0.1.0"
