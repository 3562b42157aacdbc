"""Files of others, read within bounds: `kinds` tells what a file is, `previews` shows it, `conversions` makes another
of it, `compare` holds one against the other; below them one module a kind, which tells all of this.
"""
