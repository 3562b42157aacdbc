"""Files of others, read within bounds: `previews` shows one, `looks` says what each kind shows, `conversions` what it
becomes; below them one module a kind.
"""
