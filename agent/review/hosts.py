"""Hosts that a page may use although neither brief nor checks name them."""

LIBRARY_HOSTS = frozenset(
    {
        "ajax.googleapis.com", "cdn.jsdelivr.net", "cdn.plot.ly", "cdn.tailwindcss.com",
        "cdnjs.cloudflare.com", "code.jquery.com", "d3js.org", "esm.sh", "fonts.googleapis.com", "fonts.gstatic.com",
        "maxcdn.bootstrapcdn.com", "stackpath.bootstrapcdn.com", "tessdata.projectnaptha.com", "unpkg.com",
    }
)  # fmt: skip
CDN_HOSTS = LIBRARY_HOSTS | {"api.github.com"}
