"""OpenVINO. `adapter.py` is the interface, `network.py` runs a model, `refusals.py` says which nodes it may not run."""
