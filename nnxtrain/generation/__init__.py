"""Text from a language model: how a token is drawn, the compiled loop, and a run's text."""
