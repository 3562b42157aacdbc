"""The media types that GitHub Pages send: those of the mime-db project, with a charset where Pages name one."""

from pathlib import PurePosixPath

UNKNOWN = "application/octet-stream"
UTF8 = "; charset=utf-8"

MEDIA_TYPES = {
    ".html": f"text/html{UTF8}",
    ".htm": f"text/html{UTF8}",
    ".css": f"text/css{UTF8}",
    ".js": f"application/javascript{UTF8}",
    ".mjs": f"application/javascript{UTF8}",
    ".json": f"application/json{UTF8}",
    ".map": f"application/json{UTF8}",
    ".webmanifest": f"application/manifest+json{UTF8}",
    ".geojson": "application/geo+json",
    ".jsonld": "application/ld+json",
    ".txt": f"text/plain{UTF8}",
    ".log": f"text/plain{UTF8}",
    ".md": f"text/markdown{UTF8}",
    ".csv": f"text/csv{UTF8}",
    ".tsv": f"text/tab-separated-values{UTF8}",
    ".vtt": f"text/vtt{UTF8}",
    ".ics": f"text/calendar{UTF8}",
    ".yml": "text/yaml",
    ".yaml": "text/yaml",
    ".xml": "application/xml",
    ".rss": "application/rss+xml",
    ".atom": "application/atom+xml",
    ".ts": "video/mp2t",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".heic": "image/heic",
    ".bmp": "image/bmp",
    ".ico": "image/vnd.microsoft.icon",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".ttf": "font/ttf",
    ".otf": "font/otf",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".wav": "audio/wav",
    ".ogg": "audio/ogg",
    ".flac": "audio/x-flac",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".mov": "video/quicktime",
    ".pdf": "application/pdf",
    ".rtf": "application/rtf",
    ".zip": "application/zip",
    ".gz": "application/gzip",
    ".tar": "application/x-tar",
    ".wasm": "application/wasm",
    ".glb": "model/gltf-binary",
    ".gltf": "model/gltf+json",
    ".xls": "application/vnd.ms-excel",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}


def media_type(path: str) -> str:
    """By the ending of the name alone, in any case."""
    return MEDIA_TYPES.get(PurePosixPath(path).suffix.lower(), UNKNOWN)
