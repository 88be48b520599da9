"""Tryon Masks: upper-body and lower-body masks for virtual try-on, from one photo, on the CPU."""

__version__ = "0.1.0"
