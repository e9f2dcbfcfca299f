"""The calls of ClearML's client, on the loopback interface: it keeps what the client sends.

It is the wire only: no server of ClearML's runs here.
"""

import json
from contextlib import contextmanager
from email.parser import BytesParser

import jwt
from loopback import Handler, listening

FIELDS = {"id", "name", "project", "status", "tags", "comment", "execution", "hyperparams"}
OUTCOMES = {
    "started": "in_progress",
    "completed": "completed",
    "failed": "failed",
    "stopped": "stopped",
}


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

    def answer(self, call, content):
        """Return the status and the data with which a call is answered."""
        self.calls.append(call)
        if call == "events.add_batch":
            sent = [json.loads(line) for line in content.decode().splitlines()]
            self.events += sent
            return {"added": len(sent), "errors": 0, "errors_info": {}}
        body = json.loads(content or b"{}")
        service, action = call.split(".")
        if call in {"tasks.create", "models.create"}:
            return {"id": self._add(getattr(self, service), body, service[0])}
        if action == "get_all":
            return {service: self._found(service, body)}
        if call == "projects.create":
            return {"id": self.projects.setdefault(body["name"], f"p{len(self.projects)}")}
        return self._change(self.tasks[body["task"]], action, body)

    def _add(self, items, body, letter):
        number = f"{letter}{len(items):031d}"
        items[number] = {"id": number, "status": "created", "params": {}, **body}
        return number

    def _found(self, service, body):
        if service == "projects":
            name = body["name"].strip("^$").replace("\\", "")
            return [{"id": i} for n, i in self.projects.items() if n == name]
        return [{"id": i} for i, model in self.models.items() if model["uri"] in body["uri"]]

    def _change(self, task, action, body):
        if action == "get_by_id":
            return {"task": {name: task[name] for name in FIELDS & task.keys()}}
        if action == "edit_hyper_params":
            for item in body["hyperparams"]:
                task["params"][f"{item['section']}/{item['name']}"] = item["value"]
        elif action == "add_or_update_artifacts":
            for artifact in body["artifacts"]:
                task.setdefault("artifacts", {})[artifact["key"]] = artifact
        elif action == "add_or_update_model":
            task.setdefault("models", {})[body["name"]] = body
        elif action in OUTCOMES:
            task["status"] = OUTCOMES[action]
        else:
            task |= body
        return {"updated": 1}

    def scalars(self, title, series):
        """Return steps and values of a metric, as they were sent."""
        return [(e["iter"], e["value"]) for e in self.events if names(e) == (title, series)]


def names(event):
    return event.get("metric"), event.get("variant")


@contextmanager
def serving():
    """Serve on the loopback interface."""
    wire = Wire()
    token = jwt.encode({"api_version": "2.23", "server_version": "2.0.0"}, "k" * 32)

    class ClearML(Handler):
        def do_GET(self):  # as the client sends all its calls, with a body
            content = self.content()
            call = self.path.partition("?")[0].rsplit("/", 1)[1]
            if wire.is_down:
                self.tell(503, {}, "down")
            elif call == "auth.login":
                is_known = wire.knows is None or self.headers["Authorization"] in wire.knows
                self.tell(*(200, {"token": token}) if is_known else (401, {}, "unknown key"))
            else:
                self.tell(200, wire.answer(call, content))

        def do_POST(self):
            content = self.content()
            if wire.is_down:
                self.tell(503, {}, "down")
                return
            kind = self.headers["Content-Type"]
            message = BytesParser().parsebytes(f"Content-Type: {kind}\n\n".encode() + content)
            for part in message.get_payload():
                path = part.get_param("name", header="content-disposition")
                wire.files[path] = part.get_payload(decode=True)
            self.tell(200, {})

        def tell(self, status, data, why="OK"):
            meta = {"id": "i", "trx": "i", "endpoint": {"name": "e"}, "error_stack": None}
            meta |= {"result_code": status, "result_subcode": 0, "result_msg": why}
            self.reply_json(status, {"meta": meta, "data": data})

    with listening(ClearML) as server:
        wire.url = f"http://127.0.0.1:{server.server_port}"
        yield wire
