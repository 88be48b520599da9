"""Figures that anyone can make again: how good the masks are, what they cost in time and memory."""
