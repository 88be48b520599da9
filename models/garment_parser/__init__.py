"""Training of the garment parser; the runtime never imports this."""
