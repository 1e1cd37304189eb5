"""Recorded calls through policies again: verification, counterfactuals, backtests, and a provider of recordings."""
