"""How a document is answered: guarded, parsed and validated once, then executed."""
