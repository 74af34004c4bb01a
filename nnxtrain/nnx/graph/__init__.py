"""The object graph: its structure, its static part and its states, and the functions between them."""
