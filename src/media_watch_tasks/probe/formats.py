"""What FFmpeg is allowed to be, and what a file's first bytes say it is.

The list of formats holds those that describe themselves in one file. Left out are playlists and scripts (hls, concat,
sdp, rtsp, image2, vobsub …), which make FFmpeg open URLs and other files, and the image formats, which the header
readers of `stills` know without decoding a pixel.
"""

from __future__ import annotations

import re

__all__ = ["BIT_RATE_TIMED", "analysis_limits", "is_iso_media", "open_options", "safe_name"]

_CONTAINERS = (
    "mov,matroska,webm,avi,asf,asf_o,mpegts,mpeg,flv,live_flv,ogg,mxf,gxf,nut,rm,wtv,dv,nsv,pva,ivf,film_cpk,roq,smk,"
    "bink,lmlm4,mtv,mods,thp,nuv,ty,yuv4mpegpipe,obu,iamf,4xm,cdxl,cine,dhav,flic,ipmovie,lxf,moflex,mpjpeg,r3d,"
    "smjpeg,swf,usm,vivo,vmd,xmv"
)
_AUDIO = (
    "wav,w64,aiff,caf,au,flac,mp3,aac,ac3,ac4,eac3,dts,dtshd,truehd,mlp,amr,amrnb,amrwb,ape,mpc,mpc8,wv,tta,tak,dsf,"
    "iff,oma,voc,gsm,shn,sox,spdif,xwma,loas,osq,bonk,sbc,g729,rka,vqf,hca,adx,qcp,"
    "aa,apc,aptx,aptx_hd,ast,avr,bfstm,brstm,codec2,dfpwm,dss,epaf,g722,g723_1,ilbc,ircam,lc3,mmf,nistsphere,pvf,qoa,"
    "rso,sds,sol,svag,vag,wavarc,wsd,wve"
)
_STREAMS = "mpegvideo,m4v,h261,h263,h264,hevc,vvc,av1,vc1,vc1test,cavsvideo,avs2,avs3,dirac,dnxhd,mjpeg,evc,apv"
_SUBTITLES = (
    "srt,ass,webvtt,microdvd,sup,subviewer,subviewer1,mpl2,sami,jacosub,lrc,mpsub,pjs,realtext,stl,vplayer,mcc,scc"
)
_ALLOWED = f"{_CONTAINERS},{_AUDIO},{_STREAMS},{_SUBTITLES}"

BIT_RATE_TIMED = frozenset(
    {"aac", "ac3", "ac4", "eac3", "dts", "dtshd", "mp3", "mlp", "truehd", "amr", "amrnb", "amrwb", "loas", "gsm", "sbc"}
    | {"mpegvideo", "m4v", "h261", "h263", "h264", "hevc", "vvc", "vc1", "cavsvideo", "avs2", "avs3", "dirac", "mjpeg"}
    # DSD: FFmpeg passes over the number of samples and divides the whole file, tags included, by the bit rate.
    | {"dsf", "iff", "aptx", "aptx_hd", "codec2", "dfpwm", "g722", "g723_1", "ilbc"}
)
"""Formats without an index: where the duration follows from size and bit rate alone it is an estimate."""

_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"sidx", b"uuid")
_PCM = (b"RIFF", b"RF64", b"BW64", b"FORM", b".snd", b"caff", b"riff\x2e\x91\xcf\x11", b"Creative Voice File", b".SoX")
_DECLARED = (
    b"0&\xb2u\x8ef\xcf\x11",  # ASF
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01",  # MXF
    b"nut/multimedia container\0",
)
_SHORT, _SHORTER = {"analyzeduration": "500000"}, {"analyzeduration": "100000"}
_EXTENSION = re.compile(r"\.([A-Za-z0-9]{1,8})$")


def open_options() -> dict[str, str]:
    """Options of every container: only the allowed formats, and no protocol at all."""
    return {"format_whitelist": _ALLOWED, "protocol_whitelist": "none"}


def analysis_limits(head: bytes) -> dict[str, str]:
    """Options that end FFmpeg's reading of packets early, where the header of the file declares every track.

    FFmpeg reads up to five seconds or five megabytes in search of what a declared track may leave open, also where
    nothing is. Streams that begin anywhere (MPEG-TS, MPEG-PS, FLV, raw) keep its limits: a track that starts late is
    found by them alone. `analyzeduration` counts microseconds, `probesize` bytes.
    """
    if head.startswith(b"\x1aE\xdf\xa3"):
        return _SHORTER
    if head.startswith(_DECLARED) or (head.startswith(b"RIFF") and head[8:12] == b"AVI "):
        return _SHORT
    return {**_SHORT, "probesize": "65536"} if head.startswith(_PCM) else {}


def safe_name(name: str) -> str:
    """A name that carries nothing but the extension: FFmpeg expands patterns and schemes in names."""
    found = _EXTENSION.search(name)
    return f"media.{found[1].lower()}" if found else "media"


def is_iso_media(head: bytes) -> bool:
    """True if the file starts like the ISO base media format (mp4, mov, 3gp, heif)."""
    return head[4:8] in _BOXES and (head[:4] <= b"\x10\0\0\0" or head[4:8] == b"mdat")
