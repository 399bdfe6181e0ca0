"""Probers over a folder of real media files: how often they are right, what they read, how fast they are.

    python tests/benchmarks/bench_probe_corpus.py FOLDER [--peers ffprobe,pymediainfo,av,ladder] [--verbose]

Right: codec, width and height of every video track (covers left out), the codec of every audio track and the duration
(within 1 % or 0.1 s; none where there is none) as a full local read by the same library says (`av.open` on the path);
codec and size of stills as Pillow says, and the duration of an animated GIF as FFmpeg says. Accepted but wrong: an
answer that is not right and says neither that it is an estimate nor that it rests on a part; also one whose duration is
not the extent of all packets, for formats where FFmpeg divides the size by a bit rate. Below the table stands how many
exact durations of any format differ from the extent of all packets: there the header and the packets disagree (edit
lists, files cut to a sample with the header of the whole), and a full read says what the header says. Files that the
full read itself refuses, raw stills, JPEG XL and dumps that FFmpeg takes for raw video of no size have no truth here.
Bytes and reads of the peers are counted by strace on every fifth file.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from media_watch_tasks.local import LocalByteSource
from media_watch_tasks.model.metadata import Confidence, MediaMetadata
from media_watch_tasks.probe import AvProber, LadderProber

STILLS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".bmp", ".jp2"}
PILLOW_CODECS = {"JPEG": "mjpeg", "MPO": "mjpeg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "TIFF": "tiff",
                 "HEIF": "hevc", "AVIF": "av1", "BMP": "bmp", "JPEG2000": "jpeg2000"}  # fmt: skip
NO_TRUTH = {".jxl", ".nef", ".dng", ".arw", ".cr2", ".cr3", ".orf", ".rw2", ".raf", ".raw"}
TRUTH = """
import json, sys, av
ESTIMATED = {"aac", "ac3", "eac3", "dts", "amr", "mp3", "h264", "hevc", "mpegvideo", "m4v", "loas", "truehd", "dsf",
             "iff"}
for line in sys.stdin:
    path = line.rstrip("\\n")
    try:
        with av.open(path, metadata_errors="replace") as c:
            name = lambda s: s.codec_context.codec.canonical_name if s.codec_context else None
            video = [[name(s), s.width or 0, s.height or 0] if s.codec_context else [None, 0, 0]
                     for s in c.streams.video if not int(s.disposition) & 1024]
            audio = [name(s) for s in c.streams.audio]
            duration = c.duration / 1e6 if c.duration else None
            first, last = None, 0.0
            try:
                for p in c.demux():
                    if p.pts is not None and p.size and p.stream.type in {"video", "audio"}:
                        at = float(p.pts * p.time_base)
                        first = at if first is None else min(first, at)
                        last = max(last, at + float((p.duration or 0) * p.time_base))
            except Exception:
                last = 0.0
            print(json.dumps({"video": video, "audio": audio, "duration": duration,
                              "packets": last - first if duration and last else None,
                              "by_bit_rate": c.format.name in ESTIMATED}), flush=True)
    except Exception as e:
        print(json.dumps({"error": str(e)}), flush=True)
"""


@attrs.define
class Answer:
    """What a prober says of a file, in the form in which answers are compared."""

    video: list[list[Any]] = attrs.field(factory=list)
    audio: list[Any] = attrs.field(factory=list)
    duration: float | None = None
    packets: float | None = None
    """Seconds from the first to the end of the last packet of picture or sound."""
    by_bit_rate: bool = False
    """FFmpeg divides the size of such a file by its bit rate."""
    error: str | None = None
    sure: bool = True
    still: bool = False
    bytes_read: int | None = None
    round_trips: int | None = None


def truths(paths: Sequence[Path]) -> dict[Path, Answer]:
    """Ask PyAV in a child, which some files abort; it is started again behind such a file."""
    found: dict[Path, Answer] = {}
    todo = list(paths)
    while todo:
        lines = "".join(f"{path}\n" for path in todo)
        done = subprocess.run([sys.executable, "-c", TRUTH], input=lines, capture_output=True, text=True, check=False)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        for path, answer in zip(todo, answers, strict=False):
            found[path] = Answer(**answer)
        if len(answers) < len(todo):
            found[todo[len(answers)]] = Answer(error="the parser died")
        todo = todo[len(answers) + 1 :]
    for path in paths:
        if path.suffix.lower() in STILLS:
            found[path] = still_truth(path, found[path])
        elif path.suffix.lower() in NO_TRUTH or ["rawvideo", 0, 0] in found[path].video:
            found[path] = Answer(error="no truth")
    return found


def still_truth(path: Path, by_av: Answer) -> Answer:
    """Codec and size that Pillow names; the duration of animated GIFs that PyAV names."""
    import pillow_heif  # noqa: PLC0415 - a peer
    from PIL import Image  # noqa: PLC0415 - a peer

    pillow_heif.register_heif_opener()
    try:
        with Image.open(path) as image:
            codec = PILLOW_CODECS.get(image.format or "")
            codec = "apng" if codec == "png" and getattr(image, "is_animated", False) else codec
            animated = path.suffix.lower() == ".gif" and getattr(image, "n_frames", 1) > 1
            return Answer(video=[[codec, *image.size]], duration=by_av.duration if animated else None, still=True)
    except Exception as error:  # noqa: BLE001 - whatever it raises, there is no truth to compare with
        return Answer(error=str(error))


def from_metadata(found: MediaMetadata) -> Answer:
    """The answer in a description."""
    sizes = [(track.width, track.height) for track in found.video]
    if found.container == "heif":  # Pillow hands such pictures out as they are shown
        sizes = [(track.display_width, track.display_height) for track in found.video]
    return Answer(
        video=[[track.codec, *(each or 0 for each in size)] for track, size in zip(found.video, sizes, strict=True)],
        audio=[track.codec for track in found.audio],
        duration=found.duration,
        error=found.error,
        sure=found.confidence is Confidence.EXACT,
        bytes_read=found.bytes_read,
        round_trips=found.round_trips,
    )


def ffprobe(path: Path, *, stdin: bytes | None = None) -> Answer:
    """The command."""
    command = [
        "ffprobe",
        "-v",
        "quiet",
        "-of",
        "json",
        "-show_format",
        "-show_streams",
        "-i",
        "-" if stdin else str(path),
    ]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    try:
        said = json.loads(done.stdout)
    except ValueError:
        said = {}
    if not said.get("streams"):
        return Answer(error="nothing")
    streams = [each for each in said["streams"] if not each.get("disposition", {}).get("attached_pic")]
    duration = said["format"].get("duration")
    return Answer(
        video=[
            [s.get("codec_name"), s.get("width", 0), s.get("height", 0)]
            for s in streams
            if s.get("codec_type") == "video"
        ],
        audio=[s.get("codec_name") for s in streams if s.get("codec_type") == "audio"],
        duration=float(duration) if duration else None,
    )


def pymediainfo(path: Path) -> Answer:
    """MediaInfo names codecs in its own words: only sizes and durations are compared."""
    from pymediainfo import MediaInfo  # noqa: PLC0415 - a peer

    tracks = MediaInfo.parse(path).tracks
    general = tracks[0].duration if tracks else None
    return Answer(
        video=[[None, t.width or 0, t.height or 0] for t in tracks if t.track_type in {"Video", "Image"}],
        audio=[None for t in tracks if t.track_type == "Audio"],
        duration=float(general) / 1000 if general else None,
        error=None if len(tracks) > 1 else "nothing",
    )


def analyzer_ladder(path: Path) -> Answer:
    """Head 512 KiB, head 5 MB, tail 1 MB, whole file, on the standard input of ffprobe, until all looks well."""
    size, total = path.stat().st_size, 0
    found = Answer(error="nothing")
    with LocalByteSource(path) as source:
        for number, (offset, length) in enumerate(
            ((0, 1 << 19), (0, 5 << 20), (max(size - (1 << 20), 0), 1 << 20), (0, size)), 1
        ):
            data = source.read_at(offset, length)
            total += len(data)
            found = ffprobe(path, stdin=data or b"\0")
            found = attrs.evolve(found, bytes_read=total, round_trips=number)
            if found.error is None and found.duration and all(found.video[0]) if found.video else found.audio:
                break
    return found


def right(answer: Answer, truth: Answer) -> bool:
    """True if the answer agrees with the truth; None in a place means that this side does not say."""
    if answer.error is not None or len(answer.audio) != len(truth.audio):
        return False
    if truth.still:
        answer = attrs.evolve(answer, video=answer.video[:1], duration=answer.duration if truth.duration else None)
    if len(answer.video) != len(truth.video):
        return False
    pairs = [pair for tracks in zip(answer.video, truth.video, strict=True) for pair in zip(*tracks, strict=True)]
    pairs += zip(answer.audio, truth.audio, strict=True)
    if any(a != b and a is not None and b is not None for a, b in pairs):
        return False
    if truth.duration is None or answer.duration is None:
        return truth.duration is answer.duration
    return abs(answer.duration - truth.duration) <= max(0.1, 0.01 * truth.duration)


def lie(answer: Answer, truth: Answer) -> bool:
    """True if it is wrong and says nothing of it."""
    if answer.error is not None or not answer.sure:
        return False
    return not right(answer, truth) or (truth.by_bit_rate and not borne_out(answer, truth))


def borne_out(answer: Answer, truth: Answer) -> bool:
    """True if the duration is the extent of all packets."""
    return truth.packets is None or right(answer, attrs.evolve(truth, duration=truth.packets))


def timed(
    probe: Callable[[Path], Answer], paths: Sequence[Path], *, rounds: int = 3
) -> tuple[dict[Path, Answer], float]:
    """All answers, and the best of some runs in seconds."""
    best, answers = float("inf"), {}
    for _ in range(rounds):
        start = time.perf_counter()
        answers = {path: probe(path) for path in paths}
        best = min(best, time.perf_counter() - start)
    return answers, best


def straced(command: list[str], path: Path) -> tuple[int, int]:
    """(bytes, reads) of the file by a command."""
    with tempfile.NamedTemporaryFile("r") as log:
        subprocess.run(
            ["strace", "-f", "-e", "trace=read,pread64", "-P", str(path), "-o", log.name, *command],
            capture_output=True, check=False,
        )  # fmt: skip
        sizes = [int(number) for number in re.findall(r"\) += (\d+)$", log.read(), re.MULTILINE)]
    return sum(sizes), len(sizes)


PEER_COMMANDS: dict[str, list[str]] = {
    "ffprobe command": ["ffprobe", "-v", "quiet", "-show_format", "-show_streams"],
    "pymediainfo": [
        sys.executable,
        "-c",
        "import sys; from pymediainfo import MediaInfo; MediaInfo.parse(sys.argv[1])",
    ],
    "av.open(path)": [sys.executable, "-c", "import sys, av; av.open(sys.argv[1], metadata_errors='replace')"],
}


def av_open(path: Path) -> Answer:
    """PyAV in this process. Layouts are not looked at: some files would abort the process."""
    import av  # noqa: PLC0415 - a peer

    try:
        with av.open(str(path), metadata_errors="replace") as container:
            return Answer(
                video=[[None, s.width or 0, s.height or 0] for s in container.streams.video if s.codec_context],
                duration=container.duration / 1e6 if container.duration else None,
            )
    except Exception as error:  # noqa: BLE001 - a peer
        return Answer(error=str(error))


def report(
    name: str, answers: dict[Path, Answer], seconds: float, truth: dict[Path, Answer], *, verbose: bool
) -> float:
    """One row of the table; returns files a second."""
    judged = [path for path, each in truth.items() if each.error is None]
    good = [path for path in judged if right(answers[path], truth[path])]
    lies = [path for path in judged if lie(answers[path], truth[path])]
    rate = len(answers) / seconds
    read = [(each.bytes_read, each.round_trips) for each in answers.values() if each.bytes_read is not None]
    if not read and name in PEER_COMMANDS and shutil.which("strace"):
        read = [straced([*PEER_COMMANDS[name], str(path)], path) for path in list(answers)[::5]]
    bytes_read = f"{sum(a for a, _ in read) / len(read) / 1024:.0f}" if read else "-"
    trips = f"{sum(b or 0 for _, b in read) / len(read):.2f}" if read else "-"
    share = 100 * len(good) / max(len(judged), 1)
    counts = "-" if name == "av.open(path)" else f"{share:.1f} % ({len(good)}/{len(judged)}) | {len(lies)}"
    print(f"| {name} | {counts if counts != '-' else '- | -'} | {bytes_read} | {trips} | {rate:.0f} |", flush=True)
    if verbose:
        for path in judged:
            if path not in set(good):
                print(f"    {path.name[-60:]}: {answers[path]}\n      truth {truth[path]}")
    return rate


def main() -> int:
    """Print the table; 1 if a goal was missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peers", default="ffprobe,pymediainfo,av,ladder")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    paths = sorted(p for p in options.folder.rglob("*") if p.is_file() and p.suffix not in {".tsv", ".md", ".txt"})
    truth = truths(paths)
    judged = sum(each.error is None for each in truth.values())
    print(f"{len(paths)} files, {judged} with a truth to compare with\n")
    print(
        "| prober | right | accepted but wrong | KB a file | round trips or reads | files/s |\n"
        "|---|---|---|---|---|---|"
    )
    rates: dict[str, float] = {}

    def row(name: str, answers: dict[Path, Answer], seconds: float) -> None:
        rates[name] = report(name, answers, seconds, truth, verbose=options.verbose)

    with AvProber(workers=2) as prober:
        list(prober.probe_many(paths[:20], workers=2))
        ours, seconds = timed(lambda path: from_metadata(prober.probe(path)), paths)
        row("AvProber, 1 worker", ours, seconds)
        best, many = float("inf"), []
        for _ in range(3):
            start = time.perf_counter()
            many = list(prober.probe_many(paths, workers=2))
            best = min(best, time.perf_counter() - start)
        row("AvProber, 2 workers", dict(zip(paths, map(from_metadata, many), strict=True)), best)
    with AvProber(isolation="none") as prober:
        row("AvProber, isolation none", *timed(lambda path: from_metadata(prober.probe(path)), paths))
        row("LadderProber", *timed(lambda path: _with(LadderProber(prober), path), paths))
    wanted = set(options.peers.split(","))
    if "ffprobe" in wanted:
        row("ffprobe command", *timed(ffprobe, paths, rounds=2))
    if "pymediainfo" in wanted:
        row("pymediainfo", *timed(pymediainfo, paths))
    if "av" in wanted:
        row("av.open(path)", *timed(av_open, paths))
    if "ladder" in wanted:
        row("the analyzer's ladder", *timed(analyzer_ladder, paths, rounds=1))
    return judge(ours, truth, rates)


def _with(prober: LadderProber, path: Path) -> Answer:
    with LocalByteSource(path) as source:
        return from_metadata(prober.probe(source, name=path.name))


def judge(ours: dict[Path, Answer], truth: dict[Path, Answer], rates: dict[str, float]) -> int:
    """Compare with the goals."""
    judged = [path for path, each in truth.items() if each.error is None]
    doubtful = sum(
        right(ours[path], truth[path]) and ours[path].sure and not borne_out(ours[path], truth[path]) for path in judged
    )
    print(f"\n{doubtful} exact durations of AvProber differ from the extent of the packets, as those of a full read do")
    share = sum(right(ours[path], truth[path]) for path in judged) / max(len(judged), 1)
    silent = sum(lie(ours[path], truth[path]) for path in judged)
    goals = {f"right >= 99.5 %: {100 * share:.2f} %": share >= 0.995, f"0 silent wrong: {silent}": silent == 0}
    for peer, factor in (("ffprobe command", 50), ("pymediainfo", 3)):
        if peer in rates:
            ratio = rates["AvProber, 1 worker"] / rates[peer]
            goals[f">= {factor} x {peer} with one worker: {ratio:.1f}"] = ratio >= factor
    print()
    for text, met in goals.items():
        print(f"goal {text}: {'met' if met else 'MISSED'}")
    return 0 if all(goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
