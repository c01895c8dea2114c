"""The sources of the documentation site, the program that makes its pictures, and two helpers of mkdocs."""
