"""The words everything else is written in: frozen, standard library only."""
