"""Says, without running it, whether a recipe's code keeps within its caps.

    project_size.py CODE_CAP LITERALS_CAP

CODE_CAP is for the bytes of the Python files. LITERALS_CAP is for their strings and numbers after
compression, docstrings left out: what a pasted set of trained weights would have to hide in. A
recipe that reads its own source could hide them in comments instead, so the words for that are
refused. What the training leaves behind is not counted here.
"""

import ast
import os
import pathlib
import sys
import zlib

OWN_SOURCE = {"__file__", "__doc__", "__loader__", "__spec__", "inspect", "linecache", "tokenize", "importlib", "runpy"}


def docstrings(tree):
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


def names(node):
    """Every word by which code can reach something: variables, attributes, imports, strings."""
    if isinstance(node, ast.Name):
        return {node.id}
    if isinstance(node, ast.Attribute):
        return {node.attr}
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").split(".")[0]}
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {"__file__"} if node.value.endswith(".py") else {node.value}
    return set()


def main():
    code_cap, literals_cap = int(sys.argv[1]), int(sys.argv[2])
    code, literals, refused = 0, [], set()
    for path in sorted(pathlib.Path(os.environ["MENDEL_RECIPE"]).rglob("*.py")):
        source = path.read_bytes()
        code += len(source)
        try:
            tree = ast.parse(source)
        except SyntaxError as error:
            raise SystemExit(f"{path.name}:{error.lineno}: {error.msg}")
        skip = {id(node) for node in docstrings(tree)}
        for node in ast.walk(tree):
            if id(node) in skip:
                continue
            refused |= names(node) & OWN_SOURCE
            if isinstance(node, ast.Constant):
                literals.append(repr(node.value))
    packed = len(zlib.compress("\n".join(literals).encode(), 9))
    faults = []
    for what, size, cap in (("code", code, code_cap), ("literals, compressed,", packed, literals_cap)):
        print(f"{what} {size:,} of {cap:,} B")
        if size > cap:
            faults.append(f"{what} {size:,} B: {size - cap:,} B over {cap:,} B")
    if refused:
        faults.append(f"the recipe may not read its own source: {', '.join(sorted(refused))}")
    if faults:
        print("; ".join(faults))
        raise SystemExit(1)


if __name__ == "__main__":
    main()
