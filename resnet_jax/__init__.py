"""Residual networks and rectifiers in JAX.

The names that users may rely on, with their homes, are in `__init__.pyi`, which type
checkers and editors read; docs/python.md shows them at work. A name is imported when it
is first used, so that `import resnet_jax` costs nothing and commands that need no jax
do not wait for it.
"""

import sys

__version__ = "0.2.0"


def __getattr__(name: str):
    if name == "__all__":
        return _public()[1]
    home = _public()[0].get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message, name=name, obj=sys.modules[__name__])
    import importlib

    value = globals()[name] = getattr(importlib.import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_public()[1]})


def _public() -> tuple[dict[str, str], list[str]]:
    """Modules of the public names, and these in their order, as the stub has them."""
    if "_found" not in globals():
        import ast
        import pkgutil

        stub = ast.parse(pkgutil.get_data(__name__, "__init__.pyi") or b"")
        homes, names = {}, []
        for node in stub.body:
            if isinstance(node, ast.ImportFrom):
                homes |= {alias.name: node.module for alias in node.names}
            elif isinstance(node, ast.Assign):
                names = ast.literal_eval(node.value)
        globals()["_found"] = homes, names
    return globals()["_found"]
