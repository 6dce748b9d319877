"""Dynamical systems: trajectories, and sparse identification with symmetry."""
