"""Who gets an answer, and what every answer forbids the browser."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("target", ["/", "/api/runs", "/api/nothing", "/index.html", "/api.js"])
def test_without_the_token_nothing_is_answered(viewer, target):
    answer = viewer.ask(target)
    assert answer.status == 401
    assert "multitrack view printed" in answer.json["error"]


@pytest.mark.parametrize("given", ["Bearer wrong", "Bearer ", "Basic {token}", "{token}"])
def test_a_wrong_token_is_refused(viewer, given):
    header = given.format(token=viewer.token)
    assert viewer.ask("/api/runs", Authorization=header).status == 401


def test_the_address_with_the_token_sets_a_cookie_and_leaves_the_token_behind(viewer):
    answer = viewer.ask(f"/?token={viewer.token}")
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert f"multitrack-view-{viewer.port}=" in cookie
    assert {"HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
    page = viewer.ask("/", Cookie=f'odd="a b"; {cookie.partition(";")[0]}')
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")


def test_a_wrong_token_in_the_address_sets_no_cookie(viewer):
    answer = viewer.ask("/?token=wrong")
    assert answer.status == 401
    assert "set-cookie" not in answer.headers


def test_the_token_opens_no_other_address(viewer):
    assert viewer.ask(f"/api/runs?token={viewer.token}").status == 400


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1:1", "127.0.0.1", "0.0.0.0:{port}", ""],
)
def test_a_name_that_someone_made_resolve_to_us_is_refused(viewer, host):
    answer = viewer.ask(
        "/api/runs", Host=host.format(port=viewer.port), Authorization=f"Bearer {viewer.token}"
    )
    assert answer.status in {400, 421}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "[::1]"])
def test_the_loopback_has_other_names(viewer, host):
    assert viewer.get("/api/runs", Host=f"{host}:{viewer.port}").status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(viewer, method):
    assert viewer.ask("/api/runs", method, Authorization=f"Bearer {viewer.token}").status == 405


@pytest.mark.parametrize("path", ["/", "/api/runs", "/api/nothing", "/api.js"])
def test_every_answer_says_what_may_run(viewer, path):
    for answer in (viewer.get(path), viewer.ask(path)):
        assert "default-src 'none'; script-src 'self';" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path", ["/../application.py", "/%2e%2e/application.py", "/..%2fguard.py", "//etc/passwd"]
)
def test_only_the_pages_own_files_are_served(viewer, path):
    answer = viewer.ask(path, Authorization=f"Bearer {viewer.token}")
    assert answer.status == 404


def test_scripts_have_the_type_that_a_browser_asks_for(viewer):
    answer = viewer.get("/api.js")
    assert answer.headers["content-type"].startswith(("text/javascript", "application/javascript"))
    assert "no-cache" in answer.headers["cache-control"]
