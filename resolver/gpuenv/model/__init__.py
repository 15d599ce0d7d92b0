"""The values that pass between rooms: frozen, slotted, keyword-only dataclasses, no behaviour that reads the world."""
