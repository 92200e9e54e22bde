"""Make one planted mistake of a framework's user and write down what the user would have seen.

    python mistakes.py FILE NAME REPORT

FILE is the framework's `rosetta/mistakes.py`, NAME one of its functions. Such a function is a generator: what it does
before its first `yield` builds the net, what comes after it runs it for the first time, what comes after a second one
happens later. The report is a JSON file, written anew at each of these moments, so that a process that dies has said
how far it came:

    moment: "build", "first run", "later", or "never" once all has passed without an exception
    exception: the type's name, or null
    message: of the exception
    traceback: as Python would print it to the user, without the frames of this file
    frames: [[file, line], ...] outermost first, those of causes included
    warnings: [[message, moment, file, line], ...], what Python's warnings said and where they point to
    meant: null, or whether the function returned two results that agree: what came of the mistake, and what comes of
        the same done right. A framework that converts what it is given takes it as it was meant.

Each moment is also announced on standard error when it begins, on a line of its own after the character RS (0x1e), so
that what is printed there can be told apart by moment.
"""

import importlib.util
import json
import os
import sys
import traceback
import warnings

import numpy

MOMENTS = ("build", "first run", "later")


def main(file, name, report):
    said = {"moment": MOMENTS[0], "exception": None, "message": "", "traceback": "", "frames": [], "warnings": []}
    said["meant"] = None

    def announce(moment):
        said["moment"] = moment
        os.write(2, ("\x1e" + moment + "\n").encode())
        write()

    def write():
        with open(report + ".part", "w") as out:
            json.dump(said, out)
        os.replace(report + ".part", report)

    def warned(message, category, filename, lineno, file=None, line=None):
        said["warnings"].append([str(message), said["moment"], filename, lineno])
        write()

    write()
    function = getattr(_module(file), name)
    warnings.showwarning = warned
    announce(MOMENTS[0])
    try:
        moments = function()
        for moment in MOMENTS[1:]:
            next(moments)
            announce(moment)
        while True:
            next(moments)
    except StopIteration as end:
        said["meant"] = None if end.value is None else _agree(*end.value)
    except Exception as error:
        said.update(_seen(error, file))
        write()
        return
    said["moment"] = "never"
    write()


def _module(file):
    spec = importlib.util.spec_from_file_location("mistakes", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["mistakes"] = module
    spec.loader.exec_module(module)
    return module


def _agree(got, meant):
    got, meant = numpy.asarray(got, "float64"), numpy.asarray(meant, "float64")
    return got.shape == meant.shape and bool(numpy.allclose(got, meant, rtol=1e-5, atol=1e-6))


def _seen(error, file):
    """What the user sees of an exception: all but this file's own frames."""
    outer = error.__traceback__
    while outer is not None and outer.tb_frame.f_code.co_filename != file:
        outer = outer.tb_next
    error = error.with_traceback(outer)
    frames, one = [], error
    while one is not None:
        frames = [[frame.filename, frame.lineno] for frame in traceback.extract_tb(one.__traceback__)] + frames
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    seen = {"exception": type(error).__name__, "message": _without_own(str(error)), "frames": frames}
    return dict(seen, traceback=_without_own(text))


def _without_own(text):
    """A message without frames of this file, which some frameworks quote in it, each with its line of code."""
    kept, own = [], False
    for line in text.splitlines(True):
        if own and not line.lstrip().startswith("File "):
            own = False
            continue
        own = 'File "' + os.path.abspath(__file__) + '"' in line
        if not own:
            kept.append(line)
    return "".join(kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
