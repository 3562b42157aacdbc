"""GitHub Pages as a publisher."""
