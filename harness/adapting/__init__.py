"""For whoever adds a framework: a folder to begin with, and a check of everything that an adapter has to do.

`new` writes the folder, `checks` are the checks, one subject a file, `kit` runs them. The templates compute with numpy,
so that a new folder works before its framework does.
"""
