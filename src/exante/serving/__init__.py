"""A model behind OpenAI's chat protocol: the trace apart from the answer, and what it decided.

`protocol`, `splitting`, `closing` and `decisions` are functions of their arguments; one thread
(`engine`) owns the model, `app` speaks HTTP, `server` starts both.
"""
