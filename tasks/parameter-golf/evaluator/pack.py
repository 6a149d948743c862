"""Counts a submission as Parameter Golf does: code, packed, and compressed model, in bytes.

    pack.py FILE                 counts FILE and the model that training left, if any
    pack.py --write FILE OUT     writes the packed FILE, as it would be submitted

Packing is what the published records do: source without docstrings and comments, which change
nothing that runs, in raw LZMA2 and base 85, behind the line that unpacks and runs it.
"""

import ast
import base64
import io
import json
import lzma
import os
import pathlib
import sys
import tokenize

CAP = 16_000_000
WRAPPER = (
    'import lzma as L,base64 as B\nexec(L.decompress(B.b85decode("',
    '"),format=L.FORMAT_RAW,filters=[{"id":L.FILTER_LZMA2}]))\n',
)


def stripped(source):
    """The source without docstrings and comments, or as it is where that would change the program.

    Nothing else is touched: indentation, names and line structure are the author's.
    """
    try:
        tree = ast.parse(source)
        lines = source.splitlines(keepends=True)
        gaps = docstrings(tree, lines) + comments(source)
        if not gaps:
            return source
        for row, start, end, filler in sorted(gaps, reverse=True):
            lines[row] = lines[row][:start] + filler + lines[row][end:]
        bare = keep_lines("".join(lines))
        if ast.dump(without_docstrings(ast.parse(bare))) == ast.dump(without_docstrings(tree)):
            return bare
    except (SyntaxError, ValueError, tokenize.TokenError, RecursionError):
        pass
    return source


def docstrings(tree, lines):
    """Where docstrings stand on one line or several: (row, start, end, what takes their place)."""
    gaps = []
    for node in ast.walk(tree):
        if not is_documented(node):
            continue
        text = node.body[0]
        for row in range(text.lineno - 1, text.end_lineno):
            length = len(lines[row].rstrip("\r\n"))
            start = characters(lines[row], text.col_offset) if row == text.lineno - 1 else 0
            end = characters(lines[row], text.end_col_offset) if row == text.end_lineno - 1 else length
            first = row == text.lineno - 1
            gaps.append((row, start, end, "0" if first else ""))
    return gaps


def characters(line, offset):
    """Python counts columns of the tree in UTF-8 bytes."""
    return len(line.encode()[:offset].decode())


def is_documented(node):
    places = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return (
        isinstance(node, places)
        and bool(node.body)
        and isinstance(node.body[0], ast.Expr)
        and isinstance(node.body[0].value, ast.Constant)
        and isinstance(node.body[0].value.value, str)
    )


def without_docstrings(tree):
    """The tree with every docstring, or the 0 that stands for one, left out."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            first = body[0].value
            if is_documented(node) or isinstance(first, ast.Constant) and first.value == 0:
                body[0] = ast.Pass()
    return tree


def comments(source):
    gaps = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, start = token.start
            gaps.append((row - 1, start, token.end[1], ""))
    return gaps


def keep_lines(source):
    """Drops blank lines and trailing blanks, except inside strings."""
    inside = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.start[0] != token.end[0]:
            inside.update(range(token.start[0], token.end[0]))
    kept = []
    for number, line in enumerate(source.splitlines(keepends=True), 1):
        if number in inside:
            kept.append(line)
        elif line.strip():
            kept.append(line.rstrip() + "\n")
    return "".join(kept).rstrip("\n") + "\n" if source.endswith("\n") else "".join(kept).rstrip("\n")


def packed(source):
    """The file as it would be submitted: wrapped where that makes it smaller."""
    bare = stripped(source).encode()
    body = lzma.compress(bare, format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}])
    wrapped = base64.b85encode(body).decode().join(WRAPPER).encode()
    return min(bare, wrapped, key=len)


def main():
    if sys.argv[1] == "--write":
        pathlib.Path(sys.argv[3]).write_bytes(packed(pathlib.Path(sys.argv[2]).read_text("utf-8")))
        return False
    code = len(packed(pathlib.Path(sys.argv[1]).read_text("utf-8")))
    artifact = os.environ.get("MENDEL_ARTIFACT")
    model = sum(p.stat().st_size for p in pathlib.Path(artifact).rglob("*") if p.is_file()) if artifact else 0
    total = code + model
    if result := os.environ.get("MENDEL_RESULT"):
        pathlib.Path(result).write_text(json.dumps({"code_bytes": code, "submission_bytes": total}))
    spare = f"{CAP - total:,} B to spare" if total <= CAP else f"{total - CAP:,} B over"
    print(f"code, packed, {code:,} B + model {model:,} B = {total:,} of {CAP:,} B: {spare}")
    return total > CAP


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
