"""The conformance board: ONNX's own backend tests through every adapter, each on the road of any model.

cases.py collects the cases, light_random.py makes the ones that ONNX leaves too easy, answers.py judges an answer,
board.py runs the cases through one adapter.
"""
