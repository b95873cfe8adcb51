"""The Docker engine: the user's where one answers, else one of our own."""
