"""Configuration of the documentation site; `python3 dev.py docs` builds it into dimple/site.

Neither the build nor the built pages need a network: links to other projects are a table in this file, formulas are
MathML, and the pictures of the scenes are the files in `stills`. With `DIMPLE_DOCS_SCENES=1` a scene without a picture
is simulated and drawn first; for all scenes this takes a quarter of an hour.
"""

import importlib
import os
import re
import shutil
import sys
import tempfile
import types
import typing
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util.typing import stringify_annotation

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

import dimple  # noqa: E402
from dimple import settings  # noqa: E402
from dimple.scene import load_scene, shipped_scenes  # noqa: E402
from dimple.views.site.gallery import GROUP_TITLES, choose_group, link_scene_names, split_scene_comment  # noqa: E402

project = "dimple"
author = "the dimple developers"
project_copyright = author
version = release = dimple.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_templates"]
templates_path = ["_templates"]
default_role = "code"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

autosummary_ignore_module_all = False
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_attr_annotations = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Reference", "returns_style")]

html_theme = "pydata_sphinx_theme"
# Follow the setting of the system until the reader chooses another one.
html_context = {"default_mode": "auto"}
html_title = f"dimple {version}"
html_static_path = ["_static"]
html_css_files = ["dimple.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
# The excerpts below the results of a search are fetched, which a browser refuses for files on disk.
html_show_search_summary = False
# These pages have no others below them.
html_sidebars = {"index": [], "installing": []}
html_theme_options = {
    "logo": {"text": "dimple"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

# Made anew by every build, so that no page of a former one remains.
GENERATED_FOLDERS = ("api", "examples", "gallery")
# The folders and modules of public names, besides the package itself.
PUBLIC_MODULES = (
    "manifolds", "data", "networks", "training", "boundary", "levelsets", "tangents", "stats", "probes", "runs",
    "scene", "experiment", "claims", "tensors", "protocols", "errors",
)  # fmt: skip
# Pages of names of other projects that signatures contain.
EXTERNAL_PAGES = {
    "collections.abc.Callable": "https://docs.python.org/3/library/collections.abc.html#collections.abc.Callable",
    "collections.abc.Iterable": "https://docs.python.org/3/library/collections.abc.html#collections.abc.Iterable",
    "collections.abc.Iterator": "https://docs.python.org/3/library/collections.abc.html#collections.abc.Iterator",
    "collections.abc.Mapping": "https://docs.python.org/3/library/collections.abc.html#collections.abc.Mapping",
    "collections.abc.Sequence": "https://docs.python.org/3/library/collections.abc.html#collections.abc.Sequence",
    "numpy.typing.NDArray": "https://numpy.org/doc/stable/reference/typing.html#numpy.typing.NDArray",
    "numpy.ndarray": "https://numpy.org/doc/stable/reference/generated/numpy.ndarray.html",
    "pathlib.Path": "https://docs.python.org/3/library/pathlib.html#pathlib.Path",
    "torch._C.Generator": "https://docs.pytorch.org/docs/stable/generated/torch.Generator.html",
    "torch.Generator": "https://docs.pytorch.org/docs/stable/generated/torch.Generator.html",
    "torch.Tensor": "https://docs.pytorch.org/docs/stable/tensors.html#torch.Tensor",
    "torch.device": "https://docs.pytorch.org/docs/stable/tensor_attributes.html#torch.device",
    "torch.nn.Module": "https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html",
    "torch.nn.modules.module.Module": "https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html",
}
# The constrained numbers of `dimple.settings`, each with the annotation that it stands for, the longest first.
RULES = sorted(
    (
        (stringify_annotation(rule, "smart"), name)
        for name, rule in vars(settings).items()
        if typing.get_origin(rule) is typing.Annotated
    ),
    key=lambda item: -len(item[0]),
)
# Other constraints, which docstrings describe, and arrays of numpy.
CONSTRAINTS = re.compile(r"~typing\.Annotated\[(.*?)(?:, ~(?:pydantic\.types|annotated_types)\.\w+\([^()]*\))+\]")
ARRAY = re.compile(r"~numpy\.ndarray\[tuple\[~typing\.Any, \.\.\.\], ~numpy\.dtype\[(.*?)\]\]")


def public_names() -> dict[str, str]:
    """Return the documented name of every public class and function by the name under which it is defined."""
    names = {}
    for module in (importlib.import_module(f"dimple.{name}") for name in PUBLIC_MODULES):
        for name in getattr(module, "__all__", vars(module)):
            defined = getattr(module, name)
            if isinstance(defined, type | types.FunctionType) and defined.__module__.startswith(module.__name__):
                names[f"{defined.__module__}.{defined.__qualname__}"] = f"{module.__name__}.{name}"
    for name in dimple.__all__:
        defined = getattr(dimple, name)
        # One that no module describes stays without a link, which a test reports.
        names[f"dimple.{name}"] = names.get(f"{defined.__module__}.{defined.__qualname__}", "")
    return names


PUBLIC_NAMES = public_names()


def resolve_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.Element | None:
    """Link a name to the page of its public name, or to the page of another project."""
    target = str(node.get("reftarget", ""))
    if target in EXTERNAL_PAGES:
        return nodes.reference("", "", content, internal=False, refuri=EXTERNAL_PAGES[target])
    public = PUBLIC_NAMES.get(target)
    if not public:
        return None
    domain = env.domains.python_domain
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", public, node, content)


def shorten_annotations(text: str) -> str:
    """Write constrained numbers and arrays by the short names that the code has for them."""
    for annotation, name in RULES:
        text = text.replace(annotation, f"~dimple.settings.{name}")
    return ARRAY.sub(r"~numpy.typing.NDArray[\1]", CONSTRAINTS.sub(r"\1", text))


def shorten_signature(
    _app: Sphinx, _kind: str, _name: str, _item: Any, _options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Shorten the annotations of a signature."""
    return signature and shorten_annotations(signature), returned and shorten_annotations(returned)


def keep_sentence(_app: Sphinx, kind: str, _name: str, _item: Any, _options: Any, lines: list[str]) -> None:
    """Keep napoleon from reading the words before a colon in the sentence of a property as its type."""
    if kind == "property" and ":" in lines[0]:
        lines[0] = f": {lines[0]}"


def write_math(writer: Any, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers draw without a script."""
    writer.body.append(tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block)))
    raise nodes.SkipNode


def write_api_index() -> None:
    """Write the first page of the API reference, from which autosummary makes the pages of the modules."""
    modules = [f"dimple.{name}" for name in PUBLIC_MODULES]
    introduction = (DOCS / "_templates" / "api.rst").read_text(encoding="utf-8")
    listed = {"{names}": [f"~dimple.{name}" for name in sorted(dimple.__all__, key=str.lower)], "{modules}": modules}
    for place, names in listed.items():
        introduction = introduction.replace(place, "\n   ".join(names))
    (DOCS / "api" / "index.rst").write_text(introduction, encoding="utf-8")


def copy_notebooks() -> None:
    """Copy the notebooks of `examples` into the sources, and list them on a page."""
    notebooks = sorted((DOCS.parent / "examples").glob("*.ipynb"))
    if notebooks:
        shutil.copy(DOCS / "_templates" / "examples.md", DOCS / "examples" / "index.md")
    for notebook in notebooks:
        shutil.copy(notebook, DOCS / "examples")


def still(scene: str) -> Path:
    """Return the file of the picture of a scene."""
    return DOCS / "stills" / f"{scene}.webp"


def write_scene_pages() -> None:
    """Write the gallery: a page for each built-in scene, and an index of cards."""
    scenes = shipped_scenes()
    cards: dict[str, str] = dict.fromkeys(GROUP_TITLES.values(), "")
    for name, file in scenes.items():
        text = file.read_text(encoding="utf-8")
        manifold = load_scene(name).manifold
        space = "" if manifold is None else f" Dimension {manifold.dim} in {{math}}`R^{{{manifold.ambient_dim}}}`."
        group = choose_group(None, 0) if manifold is None else choose_group(manifold.dim, manifold.ambient_dim)
        first, notes, keys = split_scene_comment(text)
        notes = link_scene_names(notes, scenes.keys() - {name}, "{}.md")
        picture = f"../stills/{name}.webp" if still(name).is_file() else ""
        page = (
            f"# {name}\n\n{first}{space}\n\n"
            + (f"![The boundary at the last step]({picture})\n\n" if picture else "")
            + f"{notes}\n\n```sh\ndimple simulate {name}\n```\n\n```yaml\n{keys}```\n"
        )
        (DOCS / "gallery" / f"{name}.md").write_text(page, encoding="utf-8")
        cards[GROUP_TITLES[group]] += (
            f":::{{grid-item-card}} {name}\n:link: {name}\n:link-type: doc\n"
            + (f":img-top: {picture}\n" if picture else "")
            + f"\n{first}\n:::\n"
        )
    grids = [f"## {title}\n\n::::{{grid}} 1 2 2 3\n:gutter: 3\n\n{text}::::\n\n" for title, text in cards.items()]
    index = (DOCS / "_templates" / "gallery.md").read_text(encoding="utf-8")
    toctree = "```{toctree}\n:hidden:\n\n" + "\n".join(scenes) + "\n```\n"
    (DOCS / "gallery" / "index.md").write_text(f"{index}\n{''.join(grids)}{toctree}", encoding="utf-8")


def leave_out_examples(_app: Sphinx, page: str, content: list[str]) -> None:
    """Drop the page of examples from the first page where there are no notebooks."""
    if page == "index" and not (DOCS / "examples" / "index.md").is_file():
        content[0] = content[0].replace("examples/index\n", "")


def draw_missing_stills() -> None:
    """Simulate each scene without a picture, and draw its boundary at the last step."""
    import torch

    from dimple.experiment import simulate
    from dimple.experiment.outputs.export import is_drawable
    from dimple.experiment.run import Run
    from dimple.views.content.from_run import frames_from_run
    from dimple.views.film.thumbnail import STILL_FILE, write_thumbnails

    # As the command line does: on small networks threads that wait for each other cost a factor of ten.
    torch.set_num_threads(1)
    for name in shipped_scenes():
        if not still(name).is_file():
            with tempfile.TemporaryDirectory() as folder:
                run = simulate(
                    load_scene(name), Path(folder) / "run", device="cpu", film=load_scene(name).slice is not None
                )
                view = Run.open(run.views_path)
                write_thumbnails(run, frames_from_run(view) if is_drawable(view) else [], Path(folder))
                shutil.copy(Path(folder) / STILL_FILE, still(name))


def write_pages(_app: Sphinx, _config: Config) -> None:
    """Write the pages that are generated, before Sphinx lists its sources."""
    if os.environ.get("DIMPLE_DOCS_SCENES") == "1":
        draw_missing_stills()
    for folder in GENERATED_FOLDERS:
        shutil.rmtree(DOCS / folder, ignore_errors=True)
        (DOCS / folder).mkdir()
    write_scene_pages()
    write_api_index()
    copy_notebooks()


def drop_source_maps(app: Sphinx, _error: Exception | None) -> None:
    """Delete the source maps of the theme, two megabytes that only its developers read."""
    for path in Path(app.outdir).rglob("*.map"):
        path.unlink()


def copy_claims(app: Sphinx, _error: Exception | None) -> None:
    """Copy the page of the claims of the full run, with its rows, as it was written."""
    if (DOCS / "claims").is_dir():
        shutil.copytree(DOCS / "claims", Path(app.outdir) / "claims", dirs_exist_ok=True)


def setup(app: Sphinx) -> None:
    """Register what this file adds to Sphinx."""
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
    app.connect("autodoc-process-signature", shorten_signature)
    # Before napoleon, which has the priority 500.
    app.connect("autodoc-process-docstring", keep_sentence, priority=400)
    app.connect("missing-reference", resolve_name)
    app.connect("config-inited", write_pages)
    app.connect("source-read", leave_out_examples)
    app.connect("build-finished", drop_source_maps)
    app.connect("build-finished", copy_claims)
