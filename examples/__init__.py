"""Small programs that use minicnn, to be run from a checkout: `python -m examples.shapes`."""
