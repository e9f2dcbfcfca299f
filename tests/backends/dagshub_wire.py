"""A stand-in for DagsHub on the loopback interface: for the wire only.

It answers the HTTP calls that DagsHub's own client makes, and passes what goes to a repository's
``.mlflow`` on to a real ``mlflow server``. It proves what is sent, and that the client reads it
back; it proves nothing about DagsHub's limits, rights or storage.
"""

import base64
import contextlib
import json
import re
import urllib.error
import urllib.request
from urllib.parse import unquote

from loopback import Handler, listening

TOKEN = "5f0e" * 10
NOW = "2026-01-01T00:00:00Z"
USER = {"id": 1, "login": "me", "username": "me", "full_name": "Me", "avatar_url": None}
USER |= dict.fromkeys(("public_email", "website", "company", "description"))
COUNTS = ("size", "stars_count", "forks_count", "watchers_count", "open_issues_count")
COMMIT = {"message": "", "url": "", "timestamp": NOW}
COMMIT |= dict.fromkeys(("author", "committer", "added", "removed", "modified"))
PART = re.compile(rb'name="(\w+)"(?:; filename="(.*?)")?\r\n(?:.*?\r\n)?\r\n(.*)\r\n', re.DOTALL)
WELL = ("no path holds a space", 0)
"""What fails where nothing does."""


class DagsHub:
    """What the stand-in holds.

    Attributes:
        mlflow: address of the real server.
        branches: the last commit of each branch.
        files: content by branch and path of what was committed.
        commits: the fields of each commit.
        calls: method, path and status of each call.
        overtaken: commit something else just before the next upload.
        failing: what paths that do not work contain, and the status with which they are
            answered; with status 0, the connection is closed.
        uri: its address.
    """

    def __init__(self, mlflow):
        self.mlflow = mlflow
        self.branches = {"main": "c0"}
        self.overtaken = False
        self.files = {}
        self.commits = []
        self.calls = []
        self.failing = WELL
        self.uri = ""

    def answer(self, method, path, headers, body):
        """Return status, content type and body."""
        what, status = self.failing
        if what in path:
            words = "not now" if ".mlflow/" in path else '{"message": "not now"}'
            return status, "text/plain", words.encode()
        if not self.is_known(headers.get("Authorization", "")):
            return 401, "application/json", b'{"message": "token is required"}'
        if ".mlflow/" in path:
            return self.pass_on(method, path.partition(".mlflow")[2], headers, body)
        try:
            found = self.api(method, unquote(path.partition("?")[0]), body)
        except Wrong as wrong:
            return 409, "application/json", json.dumps(wrong.about).encode()
        if isinstance(found, bytes):
            return 200, "application/octet-stream", found
        return (404 if found is None else 200), "application/json", json.dumps(found).encode()

    def is_known(self, authorization):
        kind, _, secret = authorization.partition(" ")
        if kind == "Basic":
            return base64.b64decode(secret).decode() == f"me:{TOKEN}"
        return (kind, secret) == ("Bearer", TOKEN)

    def api(self, method, path, body):
        if method == "PUT":
            found = re.fullmatch(r"/api/v1/repos/me/r/content/(\w+)/(.+)", path)
            return self.commit(found[1], found[2], body) if found else None
        if path == "/api/v1/user":
            return USER
        if path == "/api/v1/repos/me/r":
            return self.repository()
        if found := re.fullmatch(r"/api/v1/repos/me/r/branches/(\w+)", path):
            tip = self.branches.get(found[1])
            return {"name": found[1], "commit": COMMIT | {"id": tip}} if tip else None
        if found := re.fullmatch(r"/api/v1/repos/me/r/raw/(\w+)/(.+)", path):
            return self.files.get((found[1], found[2]))
        return None

    def repository(self):
        found = {"id": 7, "name": "r", "full_name": "me/r", "owner": USER, "default_branch": "main"}
        found |= dict.fromkeys(COUNTS, 0) | dict.fromkeys(("parent", "website", "permissions"))
        found |= dict.fromkeys(("private", "fork", "empty", "mirror"), False)
        found |= dict.fromkeys(("description", "html_url", "ssh_url", "clone_url"), "")
        return found | {"created_at": NOW, "updated_at": NOW}

    def commit(self, branch, folder, body):
        """Keep what a form holds, on the branch of its address or a new one; None: no such branch.

        A direct commit names the last one of its branch; one that changes nothing is none.
        """
        fields, files = form(body)
        if branch not in self.branches:
            return None
        if self.overtaken:
            self.overtaken, self.branches[branch] = False, f"{self.branches[branch]}+"
        target = check(fields, self.branches, branch)
        new = {(target, f"{folder}/{name}"): content for name, content in files}
        if target in self.branches and new.items() <= self.files.items():
            return {}
        self.files |= new
        self.commits.append(fields)
        self.branches[target] = f"c{len(self.commits)}"
        return {}

    def pass_on(self, method, path, headers, body):
        kept = {"Content-Type": headers["Content-Type"]} if "Content-Type" in headers else {}
        request = urllib.request.Request(
            self.mlflow + path, data=body or None, method=method, headers=kept
        )
        try:
            answer = urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, answer.headers.get("Content-Type", ""), answer.read()


class Wrong(Exception):
    """An upload that is not committed.

    Args:
        error: in DagsHub's words, which its client knows.
        details: for a person.
    """

    def __init__(self, error, details):
        super().__init__(details)
        self.about = {"error": error, "details": details}


def form(body):
    """Return the fields of a form, and its files with their names."""
    parts = [PART.search(part) for part in body.split(body.partition(b"\r\n")[0])]
    found = [part.groups() for part in parts if part]
    fields = {name.decode(): text.decode() for name, file, text in found if file is None}
    return fields, [(unquote(file.decode()), text) for _, file, text in found if file is not None]


def check(fields, branches, branch):
    """Return the branch that a form's files go to."""
    if not 0 < len(fields["commit_summary"]) <= 100 or fields["versioning"] != "dvc":
        raise Wrong("versioning conflict", "no commit of a folder")
    if fields["commit_choice"] == "commit-to-new-branch":
        if fields["new_branch_name"] in branches:
            raise Wrong("path conflict", "the branch is there")
        return fields["new_branch_name"]
    if not fields["last_commit"]:
        raise Wrong("missing last_commit", "which commit does this one follow?")
    if fields["last_commit"] != branches[branch]:
        raise Wrong("invalid last_commit", "somebody was faster")
    return branch


@contextlib.contextmanager
def standing_in(mlflow):
    """Listen on a free port; yield what the stand-in holds."""
    hub = DagsHub(mlflow)

    class Answers(Handler):
        def answer(self):
            body = self.read_body()
            status, kind, content = hub.answer(self.command, self.path, self.headers, body)
            hub.calls.append((self.command, self.path, status))
            if not status:
                self.close_connection = True
                return
            self.reply(status, content, {"Content-Type": kind})

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def read_body(self):
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.content()
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

    with listening(Answers) as server:
        hub.uri = f"http://127.0.0.1:{server.server_port}"
        yield hub
