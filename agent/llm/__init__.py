"""Models: `model` says what one is, `gateway` reaches real ones, `replay` plays recorded answers."""
