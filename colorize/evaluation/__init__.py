"""What evaluate.py is made of: who answers, how answers are compared, what was published, and pictures."""
