"""The starter set: small Python problems written for this project."""
