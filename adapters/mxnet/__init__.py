"""Apache MXNet. Importing anything of it pins MXNet's settings first, before MXNet is loaded."""

from .pins import pin

pin()
