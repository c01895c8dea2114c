"""Which photos the command line names, and where each result goes: `plan(inputs, out)`.

    grandma.jpg        becomes grandma.color.jpg beside it
    photos/  -o out/   all photos in it and below keep their names in out/; of several folders in out/photos/
    "scans/*/p*.tif"   a pattern; with -o the names begin at its first wildcard
    -                  standard input becomes standard output
"""
import glob
import os
import re
from collections import namedtuple

from ..photo.find import SUFFIXES, files_below, kind_of

__all__ = ["Job", "MARKS", "Plan", "STREAM", "plan"]

Job = namedtuple("Job", "source target")
Job.__doc__ = "source, target: paths, or STREAM."
Plan = namedtuple("Plan", "jobs unread wrong")
Plan.__doc__ = """jobs: [Job] in the order of the arguments; unread: photos in folders or of patterns whose format is
not read; wrong: a sentence for each argument that names no photo."""
STREAM = "-"
ENDINGS = " ".join(SUFFIXES)
UNREAD = set(".heic .heif .avif .gif .jp2 .j2k .jxl .psd .xcf .tga .pcx .ppm .pgm .pbm .dng .cr2 .cr3 .crw .nef .nrw "
             ".arw .orf .rw2 .raf .pef .srw".split())   # photos in formats that are not read
MARKS = "color", "compare"
MADE = re.compile(rf"\.({'|'.join(MARKS)})\.[^.]+$") # results of earlier runs


def plan(inputs, out=None, mark=MARKS[0]):
    """The Plan. Raises ValueError, before any photo is read, if the call makes no sense or names no photo."""
    if out == "":
        raise ValueError("-o got an empty name: name a folder or a file, or leave it out")
    if STREAM in inputs:
        return Plan([_stream(inputs, out)], set(), [])
    found, unread, wrong = {}, set(), []            # a photo that is named twice is coloured once
    for text in inputs:
        try:
            for path, name in _found(text, out, len(inputs) > 1, unread):
                found.setdefault(os.path.realpath(path), (path, name))
        except ValueError as e:
            wrong.append(str(e))
    photos = list(found.values())
    if not photos:
        raise ValueError("; ".join(wrong) or f"{inputs[0]} has no photos, only results")
    single = len(inputs) == 1 and len(photos) == 1 and os.path.isfile(inputs[0])
    if out == STREAM or (out and single and not _is_folder(out)):
        if not single:
            raise ValueError(f"-o {STREAM} is for one photo, and there are {len(photos)}: name a folder with -o")
        return Plan([Job(photos[0][0], _apart(photos[0][0], _writable(out)))], unread, wrong)
    if out and not os.path.isdir(out) and (os.path.lexists(out) or kind_of(out)):
        raise ValueError(f"-o {out} is a file, which can hold one photo named by itself: name a folder with -o")
    made = {os.path.realpath(_marked(path, m)) for path, _ in photos for m in MARKS}
    photos = [(path, name) for path, name in photos if os.path.realpath(path) not in made]      # a shell's "*.jpg"
    return Plan(_distinct([Job(path, _target(path, name, out, mark)) for path, name in photos]), unread, wrong)


def _writable(out):
    """-o, whose ending must name a format that can be written."""
    if out != STREAM and kind_of(out) is None:
        raise ValueError(f"-o {out} does not name a format: let it end in {ENDINGS}, or in {os.sep} for a "
                         f"folder; {STREAM} is standard output")
    return out


def _stream(inputs, out):
    if len(inputs) > 1:
        raise ValueError(f"{STREAM} (standard input) must stand alone, got {len(inputs)} arguments: name only it")
    if out and out != STREAM and _is_folder(out):
        raise ValueError(f"-o {out} is a folder, and a photo from standard input has no name: name a file with -o")
    return Job(STREAM, _writable(out or STREAM))


def _is_folder(out):
    """Is -o a folder? If it does not exist, a slash at its end or a missing suffix says so."""
    if os.path.lexists(out):
        return os.path.isdir(out)
    return out.endswith(("/", os.sep)) or not os.path.splitext(out)[1]


def _found(text, out, several, unread):
    """[(path, its name under -o)] for one argument; several: folders keep their names there. unread: see Plan."""
    result = os.path.realpath(out) if out else None
    if os.path.isdir(text):
        if several and os.path.realpath(text) == result:        # a shell's "album/*" names the folder of results, too
            return []
        found = _below(text, result, unread)
        if not found:
            raise ValueError(f"there is no photo in {text} or below: expected files that end in {ENDINGS} and are no "
                             "results (name.color.jpg)"
                             + (f"; photos in other formats: {len(unread)}" if unread else ""))
        start = os.path.dirname(os.path.abspath(text)) if several else text
        return [(path, os.path.relpath(path, start)) for path in found]
    if os.path.lexists(text):
        return [(text, os.path.basename(text))]
    if not glob.has_magic(text):
        raise ValueError(f"there is no {text}: name a photo, a folder, or a pattern such as 'scans/*.jpg'")
    fixed = os.path.dirname(text[:re.search(r"[*?[]", text).start()])
    found = _photos(sorted(p for p in glob.glob(text, recursive=True) if os.path.isfile(p)
                           and (_in(fixed, result) or not _in(p, result))), unread)
    if not found:
        raise ValueError(f"no photo matches {text}: expected files that end in {ENDINGS} and are no results "
                         "(name.color.jpg)")
    return [(path, os.path.relpath(path, fixed or os.curdir)) for path in found]


def _photos(paths, unread):
    """The paths that are photos, and not results of earlier runs."""
    unread.update(os.path.realpath(p) for p in paths if os.path.splitext(p)[1].lower() in UNREAD)
    return [p for p in paths if kind_of(p) and not MADE.search(p)]


def _below(folder, result, unread):
    """The photos in a folder and below it, without hidden ones and results of earlier runs.

    A folder that may not be entered is among them, so that it fails like a photo that may not be read.
    """
    closed = []
    return _photos(list(files_below(folder, result, closed)), unread) + closed


def _in(path, folder):
    """Is the path that folder (a real path, or None), or below it?"""
    return folder is not None and os.path.join(os.path.realpath(path), "").startswith(os.path.join(folder, ""))


def _target(path, name, out, mark):
    """Where a result goes: beside its photo, or into `out` under its name; only comparisons get a mark there."""
    if not out:
        return _marked(path, mark)
    return os.path.join(out, name if mark == MARKS[0] else _marked(name, mark))


def _marked(path, mark):
    stem, suffix = os.path.splitext(path)
    return f"{stem}.{mark}{suffix}"


def _file(path):
    """The identity of a file: the same for all its names, such as a.jpg and A.JPG on some disks."""
    try:
        found = os.stat(path)
        return found.st_dev, found.st_ino
    except OSError:
        return os.path.realpath(path)


def _apart(source, target):
    """The target, if it is not the source."""
    if target != STREAM and _file(source) == _file(target):
        raise ValueError(f"{target} is the photo itself, which is never overwritten: choose another -o")
    return target


def _distinct(planned):
    """The jobs, if no two write the same file and none writes a file that another one reads."""
    sources, targets = {_file(job.source) for job in planned}, {}
    for job in planned:
        if _file(_apart(job.source, job.target)) in sources:
            raise ValueError(f"{job.target} is one of the photos, which are never overwritten: choose another -o")
        first = targets.setdefault(os.path.realpath(job.target), job)
        if first is not job:
            raise ValueError(f"{first.source} and {job.source} would both become {job.target}: name the folder that "
                             "has both, or colour each with an -o of its own")
    return planned
