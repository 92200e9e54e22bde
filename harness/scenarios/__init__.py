"""What can be measured, one file each: infer, train, native, coldstart, ease."""

#: Every scenario, with one line about it.
TITLES = {
    "roof": "what the machine can do at most: one matrix product, and one pass over memory",
    "infer": "inference: outputs checked against the reference, then timed",
    "train": "training: losses, gradients and a step checked, then timed",
    "native": "the adapter against the same network written by hand in its framework, inference and training",
    "coldstart": "from the start of a process to its first result, each phase on its own",
    "ease": "what it costs to program, to have, and to make mistakes in: programs, diagnostics, installs, workarounds",
}

SCENARIOS = list(TITLES)
