"""Every check of the project, each in an environment of its own: `make test` runs them all.

No backend is named here. A backend is an extra in pyproject.toml with a module of that name,
and its tests run with its real client, with the oldest that the extra allows and the newest.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nox

PROJECT = nox.project.load_toml("pyproject.toml")
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
CLASHING: dict[str, str] = PROJECT["tool"]["multitrack"]["clashing"]
BACKENDS = [name for name in EXTRAS if Path(f"src/multitrack/trackers/backends/{name}.py").exists()]
HOSTS = [  # transformers has a session of its own
    name
    for name in EXTRAS
    if Path(f"src/multitrack/compat/{name}.py").exists() and name != "transformers"
]
THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = sorted({*nox.project.python_versions(PROJECT), THIS_PYTHON}, key=lambda v: v.split("."))
MEDIA = ("matplotlib", "numpy", "pandas", "plotly", "polars")
"""What log_figure, log_table and their like take; the core needs none of them."""
CONFIGS = ("attrs", "omegaconf", "pydantic")
"""What people describe a training with; the core imports none of them either."""
WITHOUT_TRANSFORMERS = [
    f"--ignore=tests/trainer/test_{name}.py"
    for name in ("against_transformers", "transformers_models")
]
PAGES = [Path("README.md"), *Path("docs").glob("*.md"), *Path("docs/guides").glob("*.md")]

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.reuse_existing_virtualenvs = True

CHECKS = [
    "lint",
    "types",
    "floors",
    f"core-{THIS_PYTHON}",
    "trainer",
    "transformers(newest)",
    "faults",
    "clash",
    "docs",
    "view",
    *(f"hosts({name})" for name in HOSTS),
]
nox.options.sessions = [*CHECKS, "backends"]


def _pip_setting(name: str) -> list[str]:
    """Return what pip is configured with on this machine, which uv does not read."""
    command = [sys.executable, "-m", "pip", "config", "get", f"global.{name}"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    variable = os.environ.get(f"PIP_{name.upper().replace('-', '_')}", "")
    return list(dict.fromkeys([*found.stdout.split(), *variable.split()]))


def _prepare_environment() -> None:
    """Give uv what pip has, and let clients keep their byte code: importing one takes seconds."""
    if links := _pip_setting("find-links"):
        os.environ.setdefault("UV_FIND_LINKS", ",".join(links))
    os.environ["UV_CONSTRAINT"] = " ".join(["constraints.txt", *_pip_setting("constraint")])
    os.environ["UV_PYTHON_DOWNLOADS"] = "never"  # only interpreters that are there
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["NO_MKDOCS_2_WARNING"] = "1"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


_prepare_environment()


def _group(name: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(PROJECT, name)


def _package(*extras: str) -> tuple[str, str]:
    return ("--editable", f".[{','.join(extras)}]" if extras else ".")


@nox.session(venv_backend="none")
def checks(session: nox.Session) -> None:
    """Run everything but the backends' tests."""
    for name in CHECKS:
        session.notify(name)


@nox.session(python=PYTHONS)
def core(session: nox.Session) -> None:
    """Test recording and delivery where neither torch nor a client is installed."""
    extras = ("migrate", "system")
    session.install(
        *_package(*extras), *_group("test"), "-e", "tests/plugin", *MEDIA, *CONFIGS, "ipython"
    )
    suites = ("tests/plugin", "tests/trackers", "tests/migrate", "tests/cli", "tests/package")
    session.run("pytest", *suites, *session.posargs)


@nox.session
def floors(session: nox.Session) -> None:
    """Test command line and Trainer with the oldest releases of what they depend on, but torch."""
    session.install(*_package(), "--resolution", "lowest-direct")
    needed = [one.replace(">=", "==") for one in EXTRAS["trainer"] if not one.startswith("torch")]
    session.install(*_package("trainer"), *needed, *_group("test"), "--editable", "tests/plugin")
    session.run("pytest", "tests/cli", "tests/trainer", *WITHOUT_TRANSFORMERS, *session.posargs)


@nox.session
@nox.parametrize("client", ["newest", "oldest"], ids=["newest", "oldest"])
@nox.parametrize("backend", BACKENDS, ids=BACKENDS)
def backends(session: nox.Session, backend: str, client: str) -> None:
    """Test one backend with its real client, and run the examples of its page."""
    if client == "oldest":
        floors = ("--resolution", "lowest-direct", "--constraint", "constraints-oldest.txt")
        session.install(*_package(backend), *floors)
    session.install(*_package(backend), *_group("test"), "--editable", "tests/plugin")
    page = f"tests/docs/test_pages.py::test_page[backends/{backend}.md]"
    examples = [page] if client == "newest" else []
    suites = sorted(map(str, Path("tests/backends").glob(f"test_{backend}*.py")))
    session.run("pytest", *suites, *examples, *session.posargs)


@nox.session
def trainer(session: nox.Session) -> None:
    """Test the reference Trainer, and what takes tensors, where transformers is not installed."""
    session.install(*_package("trainer"), *_group("clients"), "-e", "tests/plugin", "ipython")
    takers = [f"tests/trackers/test_{name}.py" for name in ("console", "media", "values", "watch")]
    session.run("pytest", "tests/trainer", *takers, *WITHOUT_TRANSFORMERS, *session.posargs)


@nox.session
@nox.parametrize("release", ["newest", "oldest"], ids=["newest", "oldest"])
def transformers(session: nox.Session, release: str) -> None:
    """Test multitrack in transformers' Trainer, and hold the reference Trainer against it."""
    suites = ["tests/compat/test_transformers.py"]
    needed = [*_package("transformers"), "-e", "tests/plugin"]
    if release == "newest":
        suites += ["tests/compat/test_trl.py", "tests/trainer/test_against_transformers.py"]
        suites += ["tests/trainer/test_transformers_models.py"]
        needed += [*_group("clients"), "optuna", "peft", "trl"]
    else:
        needed += [EXTRAS["transformers"][0].replace(">=", "=="), *_group("test")]
    session.install(*needed)
    session.run("pytest", *suites, *session.posargs)


@nox.session
@nox.parametrize("host", HOSTS, ids=HOSTS)
def hosts(session: nox.Session, host: str) -> None:
    """Test multitrack in one host, on torch, where no other host is installed."""
    session.install(*_package(host), *_group("hosts"))
    session.run("pytest", f"tests/compat/test_{host}.py", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Kill, starve and disconnect couriers of real clients; take a run from one to the next."""
    session.install(*_package(), *_group("clients"))
    session.run("pytest", "tests/faults", "tests/migrate/test_between.py", *session.posargs)


@nox.session
def clash(session: nox.Session) -> None:
    """Deliver one run by clients that cannot be installed together, each from its environment."""
    session.install(*_package(), *_group("test"))
    for backend, client in CLASHING.items():
        python = Path(session.create_tmp(), backend, "bin", "python")
        session.run_install("uv", "venv", "--clear", str(python.parent.parent), external=True)
        install = ("uv", "pip", "install", "--python", str(python), *_package(), client)
        session.run_install(*install, external=True)
        session.env[f"MULTITRACK_PYTHON_{backend.upper()}"] = str(python)
    session.run("pytest", "tests/clash", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site, hold its tables against the code, and run the examples of its pages."""
    session.install(*_package(*_extras_of_pages()), *_group("docs"))
    session.run("python", "docs/generate.py", "--check")
    session.run("mkdocs", "build", "--strict")
    session.run("pytest", "tests/docs", *session.posargs)


@nox.session
def view(session: nox.Session) -> None:
    """Test the local page: its server on the loopback, and the page in a real browser."""
    session.install(*_package("view"), *_group("view"))
    session.run("pytest", "tests/view", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install(*_group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check all annotations; where no client is installed, what it returns is Any."""
    session.install(*_package("trainer", "transformers", "view"), *_group("types"))
    session.run("mypy", *session.posargs)


def _extras_of_pages() -> set[str]:
    """Return the extras that the pages' examples need, as the pages declare them.

    The page of a backend runs with that backend's tests, in its environment.
    """
    declared = re.compile(r"^<!-- needs: (.+?) -->$", re.MULTILINE)
    return {
        extra
        for page in PAGES
        for needs in declared.findall(page.read_text())
        for extra in needs.split()
    }
