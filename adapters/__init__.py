"""The worker side: what runs inside a framework's own environment.

`kit/` is the interface and the worker; every other folder is one framework. Nothing here imports
`harness`, and nothing outside `kit/` may be needed by another adapter.
"""
