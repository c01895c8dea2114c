"""What mkdocs does with pages before it renders them; mkdocs.yml names this file.

A page that holds nothing but a link to a file of the repository shows that file. The page of all names lists what
minicnn/__init__.py imports, so that it is never behind.
"""
import ast
import os
import posixpath
import re

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ONLY_A_LINK = re.compile(r"\s*\[[^]]*\]\(\.\./([^)]+\.md)\)\s*")
LINK = re.compile(r"(\[[^]]*\])\(([^)#:\s]+)(#[^)]*)?\)")
ENGINE = "minicnn/__init__.py"


def on_page_markdown(text, page, **_):
    """The text of a page, or of the file that it stands for, with links that lead to pages of the site."""
    source = f"docs/{page.file.src_uri}"
    found = ONLY_A_LINK.fullmatch(text)
    if found:
        source = found.group(1)
        text = read(source)
    if source == "docs/api.md":
        text += "\n".join(names())
    return LINK.sub(lambda link: placed(link, posixpath.dirname(source)), text)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


# ------------------------------------------------------------------ links


def pages():
    """{a file of the repository: the page of the site that shows it}"""
    shown = {f"docs/{name}": name for name in sorted(os.listdir(os.path.join(ROOT, "docs"))) if name.endswith(".md")}
    for page in list(shown.values()):
        found = ONLY_A_LINK.fullmatch(read(f"docs/{page}"))
        if found:
            shown[found.group(1)] = page
    return shown


def placed(link, folder):
    """A link in a file of that folder, as the site needs it: to a page or a picture. The site has no other files of
    the repository: their names stay, without a link. What names no file (`x[0](y)`) is no link."""
    text, name, anchor = link.group(1), link.group(2), link.group(3) or ""
    target = posixpath.normpath(posixpath.join(folder, name))
    if target in pages():
        return f"{text}({pages()[target]}{anchor})"
    if target.startswith("docs/"):
        return f"{text}({posixpath.relpath(target, 'docs')}{anchor})"
    return text[1:-1] if os.path.exists(os.path.join(ROOT, target)) else link.group(0)


# ------------------------------------------------------------------ all names


def groups():
    """{a module of minicnn: the public names that come from it}, in the order of minicnn/__init__.py."""
    found = {}
    for node in ast.parse(read(ENGINE)).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if os.path.exists(os.path.join(ROOT, file_of(inner))):          # a module as a whole
                    functions = ast.parse(read(file_of(inner))).body
                    found[inner] = [f.name for f in functions if isinstance(f, ast.FunctionDef) and f.name[0] != "_"]
                else:
                    found.setdefault(node.module, []).append(alias.name)
    return found


def file_of(module):
    return f"minicnn/{module.replace('.', '/')}.py"


def names():
    """The page of all names, line by line: a heading for each file, what the file says of itself, and its names."""
    for module, public in groups().items():
        yield f"\n## {file_of(module)}\n"
        yield ast.get_docstring(ast.parse(read(file_of(module)))).split("\n\n")[0] + "\n"
        runs = [name for name in public if name[-1] == "_" and name[:-1] in public]
        for name in public:
            if name not in runs:
                yield f"::: minicnn.{module}.{name}\n" if module.endswith("schedules") else f"::: minicnn.{name}\n"
        if runs:
            yield ("With an underscore at the end of its name, the same runs to its end and returns nothing: "
                   + ", ".join(f"`{name}`" for name in runs) + ".\n")
