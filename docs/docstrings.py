"""mkdocstrings runs this: examples in docstrings become blocks of code."""
import griffe


class Examples(griffe.Extension):
    """Markdown would take >>> for a quotation: each paragraph that begins with it gets fences around it."""

    def on_instance(self, *, obj, **_):
        if not obj.is_alias and obj.docstring:
            obj.docstring.value = "\n\n".join(map(fenced, obj.docstring.value.split("\n\n")))


def fenced(paragraph):
    if not paragraph.lstrip().startswith(">>>"):
        return paragraph
    return f"```pycon\n{paragraph}\n```"
