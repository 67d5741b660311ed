"""Recipes: a validated, complete description of a run, and the one place that joins all parts."""
