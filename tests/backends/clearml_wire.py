"""The calls of ClearML's client, on the loopback interface: it keeps what the client sends.

It is the wire only, and what ClearML's server refuses of it: no server of ClearML's runs here.
"""

import json
import re
from contextlib import contextmanager
from email.parser import BytesParser

import jwt
from loopback import Handler, listening

TOKEN = jwt.encode({"api_version": "2.23", "server_version": "2.0.0"}, "k" * 32)
FIELDS = {"id", "name", "project", "status", "tags", "comment", "execution", "hyperparams", "type"}
EVENTS = {"training_stats_scalar", "training_debug_image", "plot", "log"}
LARGEST = 3.4028234663852886e38
"""The server indexes scalars as float32, and refuses a batch with one beyond it."""
SHORTEST_NAME = 3
NEXT = {
    "created": {"in_progress"},
    "in_progress": {"stopped", "failed", "completed"},
    "stopped": {"in_progress", "failed", "completed"},
    "failed": {"stopped"},
    "completed": {"in_progress"},
}
"""Which status may follow which, unless it is forced."""


class No(Exception):
    """What the server refuses.

    Attributes:
        status: HTTP's.
        subcode: the server's own number for the reason.
    """

    def __init__(self, status, subcode, why):
        super().__init__(why)
        self.status, self.subcode = status, subcode


class Wire:
    """What the client sent to one server.

    Attributes:
        url: address of the server, of its pages and of its files.
        knows: keys of users, or None if any will do.
        is_down: whether it answers to nothing.
        tasks: fields of the tasks, by id.
        models: fields of the models, by id.
        projects: ids of the projects, by name.
        events: what was sent, in order.
        files: contents, by path.
        calls: names of the calls, in order.
    """

    def __init__(self):
        self.knows = None
        self.is_down = False
        self.tasks = {}
        self.models = {}
        self.projects = {}
        self.events = []
        self.files = {}
        self.calls = []

    def unless_down(self, answer, *given):
        """Return what a function returns.

        Raises:
            No: the server is down.
        """
        if self.is_down:
            raise No(503, 0, "down")
        return answer(*given)

    def answer(self, call, authorization, content):
        """Return the data with which a call is answered.

        Raises:
            No: the server would refuse it.
        """
        self.calls.append(call)
        if call == "auth.login":
            return self._token(authorization)
        self.check(authorization)
        if call == "events.add_batch":
            return self._add_events([json.loads(line) for line in content.splitlines()])
        answers = getattr(self, call.replace(".", "_"), None)
        if answers is None:
            raise No(400, 1, f"{call} is not supported")
        return answers(json.loads(content))

    def _token(self, authorization):
        is_known = self.knows is None or authorization in self.knows
        if not (is_known and (authorization or "").startswith("Basic ")):
            raise No(401, 22, "invalid credentials")
        return {"token": TOKEN}

    def check(self, authorization):
        """See that a call comes from somebody who has logged in."""
        if authorization != f"Bearer {TOKEN}":
            raise No(401, 20, "missing credentials")

    def _add_events(self, events):
        errors = {}
        added = []
        for event in events:
            if why := self._why_not(event):
                errors[why] = errors.get(why, 0) + 1
            else:
                added.append(event)
        if any(abs(event.get("value") or 0) > LARGEST for event in added):
            raise No(500, 100, "[float] supports only finite values")
        if not added:
            raise No(400, 131, f"events not added: {errors}")
        self.events += added
        return {"added": len(added), "errors": sum(errors.values()), "errors_info": errors}

    def _why_not(self, event):
        if event.get("type") not in EVENTS:
            return f"Invalid event type {event.get('type')}"
        return None if event.get("task") in self.tasks else "Invalid task id"

    # -- one method a call -----------------------------------------------------------------

    def projects_get_all(self, body):
        found = [name for name in self.projects if re.search(body["name"], name)]
        return {"projects": [{"id": self.projects[name], "name": name} for name in found]}

    def projects_get_by_id(self, body):
        for name, number in self.projects.items():
            if number == body["project"]:
                return {"project": {"id": number, "name": name}}
        raise No(400, 401, "invalid project id")

    def projects_create(self, body):
        parts = list(filter(None, body["name"].split("/")))
        *above, name = ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
        if _kept(name) in self.projects:
            raise No(400, 801, "value combination already exists")
        for project in (*above, name):
            self.projects.setdefault(_kept(project), f"p{len(self.projects):031d}")
        return {"id": self.projects[_kept(name)]}

    def tasks_create(self, body):
        return {"id": self._add(self.tasks, body, "t", status="created")}

    def models_create(self, body):
        if body.get("task"):
            self._task(body)
        return {"id": self._add(self.models, body, "m", ready=True), "created": True}

    def _add(self, items, body, letter, **more):
        self.projects_get_by_id(body)
        number = f"{letter}{len(items):031d}"
        items[number] = {"id": number, **more, **body, "name": _kept(body["name"])}
        return number

    def models_get_all(self, body):
        return {"models": [{"id": i} for i, m in self.models.items() if m["uri"] in body["uri"]]}

    def tasks_get_by_id(self, body):
        task = self._task(body)
        return {"task": {name: task[name] for name in FIELDS & task.keys()}}

    def tasks_edit(self, body):
        task = self._task_to_edit(body)
        task |= {name: value for name, value in body.items() if name not in {"task", "force"}}
        return {"updated": 1, "fields": {}}

    def tasks_edit_hyper_params(self, body):
        items = body["hyperparams"]
        is_about_properties = all(item["section"] == "properties" for item in items)
        task = self._task(body) if is_about_properties else self._task_to_edit(body)
        for item in items:
            section = task.setdefault("hyperparams", {}).setdefault(item["section"], {})
            section[item["name"]] = item
        return {"updated": 1}

    def tasks_add_or_update_artifacts(self, body):
        task = self._task_to_edit(body)
        task.setdefault("artifacts", {}).update({a["key"]: a for a in body["artifacts"]})
        return {"updated": 1}

    def tasks_add_or_update_model(self, body):
        task = self._task_to_edit({**body, "force": True})
        if body["model"] not in self.models:
            raise No(400, 201, "invalid model id")
        task.setdefault("models", {})[body["name"]] = body
        return {"updated": 1}

    def tasks_started(self, body):
        return self._tell(body, "in_progress") | {"started": 1}

    def tasks_completed(self, body):
        return self._tell(body, "completed")

    def tasks_failed(self, body):
        return self._tell(body, "failed")

    def tasks_stopped(self, body):
        return self._tell(body, "stopped")

    def _tell(self, body, status):
        task = self._task(body)
        if not body.get("force") and status not in NEXT[task["status"]] | {task["status"]}:
            raise No(400, 110, "invalid task status")
        task["status"] = status
        return {"updated": 1, "fields": {"status": status}}

    def _task(self, body):
        if body["task"] not in self.tasks:
            raise No(400, 101, "invalid task id")
        return self.tasks[body["task"]]

    def _task_to_edit(self, body):
        """Return a task that is new, or running if this is forced: no other can be edited."""
        task = self._task(body)
        if task["status"] not in ({"created", "in_progress"} if body.get("force") else {"created"}):
            raise No(400, 110, "invalid task status")
        return task

    # -- what was sent ---------------------------------------------------------------------

    def scalars(self, title, series):
        """Return steps and values of a metric, as they were sent."""
        return [(e["iter"], e["value"]) for e in self.events if names(e) == (title, series)]


def names(event):
    return event.get("metric"), event.get("variant")


def values(task):
    """Return the values of a task's hyperparameters, by section and name."""
    sections = task["hyperparams"].items()
    return {f"{s}/{n}": item["value"] for s, items in sections for n, item in items.items()}


def _kept(name):
    """Return a name as the server keeps it."""
    name = name.strip()
    if len(name) < SHORTEST_NAME:
        raise No(400, 800, "data validation error: the name is too short")
    return name


@contextmanager
def serving():
    """Serve on the loopback interface."""
    wire = Wire()

    class ClearML(Handler):
        def do_GET(self):  # as the client sends all its calls, with a body
            content = self.content()
            call = self.path.partition("?")[0].rsplit("/", 1)[1]
            self.tell(call, wire.answer, call, self.headers["Authorization"], content or b"{}")

        def do_POST(self):
            self.tell("files", self.keep, self.content())

        def keep(self, content):
            wire.check(self.headers["Authorization"])
            kind = self.headers["Content-Type"]
            message = BytesParser().parsebytes(f"Content-Type: {kind}\n\n".encode() + content)
            for part in message.get_payload():
                path = part.get_param("name", header="content-disposition")
                wire.files[path] = part.get_payload(decode=True)
            return {}

        def tell(self, call, answer, *given):
            """Answer with what a function returns, or with what it refuses."""
            status, subcode, why, data = 200, 0, "OK", {}
            try:
                data = wire.unless_down(answer, *given)
            except No as no:
                status, subcode, why = no.status, no.subcode, str(no)
            endpoint = {"name": call, "requested_version": "2.23", "actual_version": "1.0"}
            meta = {"id": "i", "trx": "i", "endpoint": endpoint, "error_stack": None}
            meta |= {"result_code": status, "result_subcode": subcode, "result_msg": why}
            self.reply_json(status, {"meta": meta, "data": data})

    with listening(ClearML) as server:
        wire.url = f"http://127.0.0.1:{server.server_port}"
        yield wire
