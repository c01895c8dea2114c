"""What train.py is made of: preparing a run, the loop, its directory, validation, curves and the report."""
