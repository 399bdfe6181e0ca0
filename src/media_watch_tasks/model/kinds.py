"""Media kinds and MIME types by file extension. Pure data: nothing is read and no system table is asked."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["EXTENSIONS", "MediaKind", "kind_of", "mime_type_of"]


class MediaKind(StrEnum):
    """What a file is, judged by its extension alone."""

    VIDEO = "video"
    AUDIO = "audio"
    IMAGE = "image"
    SUBTITLE = "subtitle"
    METADATA = "metadata"
    OTHER = "other"


_MIME_TYPES: dict[MediaKind, dict[str, str]] = {
    MediaKind.VIDEO: {
        "3g2": "video/3gpp2", "3gp": "video/3gpp", "asf": "video/x-ms-asf", "avi": "video/x-msvideo",
        "braw": "application/octet-stream", "divx": "video/x-msvideo", "dv": "video/x-dv", "f4v": "video/mp4",
        "flv": "video/x-flv", "h264": "video/h264", "h265": "video/h265", "hevc": "video/h265",
        "insv": "video/mp4", "ivf": "video/x-ivf", "lrv": "video/mp4", "m1v": "video/mpeg", "m2t": "video/mp2t",
        "m2ts": "video/mp2t", "m2v": "video/mpeg", "m4v": "video/x-m4v", "mjpeg": "video/x-motion-jpeg",
        "mkv": "video/matroska", "mod": "video/mpeg", "mov": "video/quicktime", "mp4": "video/mp4",
        "mpe": "video/mpeg", "mpeg": "video/mpeg", "mpg": "video/mpeg", "mts": "video/mp2t", "mxf": "application/mxf",
        "ogm": "video/ogg", "ogv": "video/ogg", "qt": "video/quicktime", "r3d": "application/octet-stream",
        "rm": "application/vnd.rn-realmedia", "rmvb": "application/vnd.rn-realmedia-vbr", "tod": "video/mpeg",
        "ts": "video/mp2t", "vob": "video/mpeg", "webm": "video/webm",
        "wmv": "video/x-ms-wmv", "y4m": "video/x-yuv4mpeg",
    },
    MediaKind.AUDIO: {
        "aac": "audio/aac", "ac3": "audio/ac3", "aif": "audio/aiff", "aifc": "audio/aiff", "aiff": "audio/aiff",
        "alac": "audio/mp4", "amr": "audio/amr", "ape": "audio/x-ape", "au": "audio/basic", "caf": "audio/x-caf",
        "dff": "audio/x-dff", "dsf": "audio/x-dsf", "dts": "audio/vnd.dts", "eac3": "audio/eac3", "flac": "audio/flac",
        "m4a": "audio/mp4", "m4b": "audio/mp4", "mka": "audio/matroska", "mp2": "audio/mpeg", "mp3": "audio/mpeg",
        "mpc": "audio/x-musepack", "oga": "audio/ogg", "ogg": "audio/ogg", "opus": "audio/ogg",
        "ra": "audio/x-realaudio",
        "spx": "audio/ogg", "tta": "audio/x-tta", "wav": "audio/wav", "wma": "audio/x-ms-wma", "wv": "audio/x-wavpack",
    },
    MediaKind.IMAGE: {
        "3fr": "image/x-hasselblad-3fr", "arw": "image/x-sony-arw", "avif": "image/avif", "bmp": "image/bmp",
        "cr2": "image/x-canon-cr2", "cr3": "image/x-canon-cr3", "crw": "image/x-canon-crw", "dng": "image/x-adobe-dng",
        "erf": "image/x-epson-erf", "gif": "image/gif", "gpr": "image/x-gopro-gpr", "heic": "image/heic",
        "heif": "image/heif", "insp": "image/jpeg", "jfif": "image/jpeg", "jp2": "image/jp2", "jpe": "image/jpeg",
        "jpeg": "image/jpeg", "jpg": "image/jpeg", "jxl": "image/jxl", "mef": "image/x-mamiya-mef",
        "nef": "image/x-nikon-nef", "nrw": "image/x-nikon-nrw", "orf": "image/x-olympus-orf",
        "pef": "image/x-pentax-pef", "png": "image/png", "psd": "image/vnd.adobe.photoshop",
        "raf": "image/x-fuji-raf", "raw": "image/x-raw", "rw2": "image/x-panasonic-rw2", "sr2": "image/x-sony-sr2",
        "srw": "image/x-samsung-srw", "svg": "image/svg+xml", "tga": "image/x-tga", "tif": "image/tiff",
        "tiff": "image/tiff", "webp": "image/webp", "x3f": "image/x-sigma-x3f",
    },
    MediaKind.SUBTITLE: {
        "ass": "text/x-ssa", "idx": "text/plain", "sbv": "text/plain", "smi": "application/x-sami",
        "srt": "application/x-subrip", "ssa": "text/x-ssa", "sub": "text/plain", "sup": "application/octet-stream",
        "ttml": "application/ttml+xml", "vtt": "text/vtt",
    },
    MediaKind.METADATA: {
        "aae": "application/xml", "cue": "text/plain", "json": "application/json", "nfo": "text/plain",
        "thm": "image/jpeg", "xml": "application/xml", "xmp": "application/rdf+xml", "yaml": "application/yaml",
        "yml": "application/yaml",
    },
}  # fmt: skip

EXTENSIONS: dict[str, MediaKind] = {extension: kind for kind, types in _MIME_TYPES.items() for extension in types}
"""Kinds by lower-case extension, without the dot."""
_TYPES: dict[str, str] = {extension: mime for types in _MIME_TYPES.values() for extension, mime in types.items()}


def kind_of(name: bytes) -> MediaKind:
    """The kind of a file name or path, by the part behind its last dot, upper or lower case."""
    return EXTENSIONS.get(_extension(name), MediaKind.OTHER)


def mime_type_of(name: bytes) -> str:
    """The MIME type (IANA where one is registered) of a file name or path; `application/octet-stream` if unknown."""
    return _TYPES.get(_extension(name), "application/octet-stream")


def _extension(name: bytes) -> str:
    stem, dot, extension = name.rpartition(b".")
    return extension.lower().decode("ascii", "replace") if dot and stem else ""
