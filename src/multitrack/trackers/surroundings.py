"""Where a run runs: machine, repository, command and versions."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from importlib import metadata

from multitrack.trackers.records import Git, Host
from multitrack.trackers.redact import redact_command

NOTED_PACKAGES = ("accelerate", "keras", "lightning", "numpy", "torch", "transformers")
"""Packages whose version is noted if the process has imported them."""
GIT_TIMEOUT = 2.0
NO_PROGRAMS = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
"""Options of git: no watcher and no hook of the repository runs."""


def describe_host() -> Host:
    """Return the machine and process."""
    system = os.uname()
    return Host(
        hostname=socket.gethostname(),
        pid=os.getpid(),
        platform=f"{system.sysname} {system.release} {system.machine}",
        python=platform.python_version(),
        cpu_count=os.cpu_count(),
    )


def describe_git() -> Git | None:
    """Return the state of the working directory's repository, None if nothing is committed.

    The repository may have been unpacked from anywhere: none of the programs runs that its own
    configuration names.
    """
    looks = ["--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules=dirty"]
    try:
        lines = _git(*NO_PROGRAMS, *_without_filters(), "status", *looks).splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    facts = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# branch."))
    if facts.get("branch.oid", "(initial)") == "(initial)":
        return None
    branch = facts.get("branch.head")
    return Git(
        commit=facts["branch.oid"],
        branch=None if branch == "(detached)" else branch,
        dirty=any(not line.startswith("#") for line in lines),
    )


def _without_filters() -> list[str]:
    """Return options that switch off the filters of the repository, but not those of the user."""
    names = r"^filter\..*\.(clean|process|required)$"
    try:
        found = _git("config", "--show-scope", "--name-only", "-z", "--get-regexp", names)
    except subprocess.CalledProcessError:  # there are none
        return []
    words = found.split("\0")
    scopes = zip(words[::2], words[1::2], strict=False)
    own = [name for scope, name in scopes if scope in {"local", "worktree"}]
    return [word for name in own for word in ("-c", f"{name}=")]


def _git(*arguments: str) -> str:
    command = ["git", "--no-optional-locks", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=GIT_TIMEOUT,
        check=True,
        env={**os.environ, "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"},
    ).stdout


def describe_command() -> list[str]:
    """Return the command line, without its secrets."""
    return redact_command(sys.orig_argv if len(sys.argv) < len(sys.orig_argv) else sys.argv)


def describe_versions() -> dict[str, str]:
    """Return the versions of multitrack, Python and the frameworks in use."""
    versions = {"multitrack": metadata.version("multitrack"), "python": platform.python_version()}
    for name in NOTED_PACKAGES:
        if name in sys.modules:
            try:
                versions[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
    return versions
