"""`nvsx history`, `report` and `stats`, and the upkeep of the record."""
