"""The refusal: a model that cannot become a static Program."""

from __future__ import annotations

from harness.errors import HarnessError


class UnsupportedModel(HarnessError):
    """The model cannot become a static Program; `operator` names what stands in the way, where it is one."""

    def __init__(self, what: str, advice: str = "", operator: str = ""):
        super().__init__(what, advice)
        self.operator = operator
