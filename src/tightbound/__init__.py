"""Variational autoencoders with likelihoods you can trust."""

from __future__ import annotations
