"""Writes pages: a lesson, the index, and the site that holds them."""

from __future__ import annotations

import functools
import importlib.util
import tomllib
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from nbconvert import HTMLExporter

from kvmlab import panels
from kvmlab.lab.panels import front_end
from tools.pages.catalogue import ROOT, Entry, catalogue
from tools.pages.cells import ForReaders
from tools.pages.tidy import tidy

TEMPLATES = Path(__file__).parent / "templates"


@functools.cache
def repository() -> str:
    """Return the project's address."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Repository"])


@functools.cache
def environment() -> Environment:
    """Return what the templates of our own are read with."""
    loader = FileSystemLoader(TEMPLATES)
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.globals.update(
        catalogue=catalogue(),
        css=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "page.js").read_text(encoding="utf-8")),
        repository=repository(),
    )
    return made


@functools.cache
def exporter() -> HTMLExporter:
    """Return what turns a notebook's cells into HTML: the body of a page only."""
    made = HTMLExporter(template_name="lesson", extra_template_basedirs=[str(TEMPLATES)])
    made.register_preprocessor(ForReaders, enabled=True)
    return made


def rendered(template: str, path: Path, body: str, **values: Any) -> Path:
    """Write a page; the front end of the panels goes with it if its body has a place for one."""
    front = Markup(front_end.script()) if "data-panel=" in body else ""
    text = environment().get_template(template).render(body=Markup(body), front=front, **values)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def page(entry: Entry, folder: Path) -> Path:
    """Write a notebook as a page below `folder`; return where it is."""
    html, _ = exporter().from_notebook_node(nbformat.read(entry.path, as_version=4))
    return rendered("page.html.j2", folder / f"{entry.name}.html", tidy(html), entry=entry, home=entry.home)


def index(folder: Path) -> Path:
    """Write the index of all pages, with a stage on it; it leads to `api/` if that is in the folder."""
    stage = tidy(panels.stage_panel().place(bridged=False))
    api = (folder / "api" / "index.html").exists()
    return rendered("index.html.j2", folder / "index.html", stage, home="", api=api)


def reference(folder: Path) -> bool:
    """Write the reference of the functions into `folder`, if pdoc is installed; return whether it is."""
    if importlib.util.find_spec("pdoc") is None:
        return False
    from tools import api

    api.write(folder, api.rooms())
    return True
