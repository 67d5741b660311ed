"""The Gaussian location study: data whose exact answer is known, and every posterior's distance from it."""

from tightbound.recipes.location.study import Cell, StudySettings, cells, run_cell

__all__ = ["Cell", "StudySettings", "cells", "run_cell"]
