"""The embedded world: prompts, teacher, oracle and base model; a plug-in like a user's own."""
