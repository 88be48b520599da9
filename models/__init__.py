"""Builds the model sets (``build.py``, ``convert.py``) and trains the garment parser."""
