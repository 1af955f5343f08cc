"""`replay:DIR`: attempts that were recorded, played again."""
