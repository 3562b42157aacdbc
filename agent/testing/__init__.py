"""Stand-ins for the world outside, for tests and for the demo."""
