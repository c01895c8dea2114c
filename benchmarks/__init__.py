"""What is measured, and how: see README.md. Run from a checkout; not part of the installed package."""
