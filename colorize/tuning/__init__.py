"""What tune.py is made of: trials, each a training run, and the heat map of their results."""
