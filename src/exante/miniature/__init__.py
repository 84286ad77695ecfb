"""The embedded world: prompts, teacher, oracle judge and base model, a plug-in like a user's own."""
