"""``/v1/artifacts``."""

from __future__ import annotations

from .talk import Client, Served


def test_an_artifact_and_its_files(service: Served, client: Client, at: str) -> None:
    where, artifact = f"/v1/artifacts/{at}/artifact:run-7", service.store.scope(at).artifact("run-7")
    assert client.get(where).code == "not_found"
    made = client.ask("PUT", where, {"author": "Ada"})
    assert made.status == 201
    assert client.put(f"{where}/plots/a.png", b"png", Content_Type="image/png").status == 201
    artifact.write("log.txt", "done")
    found = client.get(where).json
    assert (found["artifact"], found["metadata"], found["version"]) == (
        "run-7",
        {"author": "Ada"},
        made.json["version"],
    )
    assert [(file["key"], file["size"]) for file in found["files"]] == [("log.txt", 4), ("plots/a.png", 3)]
    assert all(file["digest"] for file in found["files"])
    assert artifact.read("plots/a.png") == b"png"
    assert dict(artifact.metadata) == {"author": "Ada"}
    assert client.get(f"{where}/log.txt").body == b"done"
    assert client.ask("HEAD", f"{where}/log.txt").headers["content-length"] == "4"
    assert client.ask("HEAD", where).status == 200
    assert client.ask("PUT", where, {"author": "Eve"}, If_Match='"999999"').status == 412
    assert client.ask("PUT", where, {"author": "Eve"}, If_Match=made.headers["etag"]).status == 200
    page = client.get(f"{where}?limit=2").json
    assert [file["key"] for file in page["files"]] == ["log.txt"]  # the metadata is a record, too
    assert [file["key"] for file in client.get(f"{where}?cursor={page['cursor']}").json["files"]] == ["plots/a.png"]
    assert client.ask("DELETE", f"{where}/log.txt").status == 204
    assert client.ask("DELETE", where).status == 204
    assert client.get(f"{where}/plots/a.png").status == 404
    assert not artifact.exists


def test_what_is_malformed(client: Client, at: str) -> None:
    where = f"/v1/artifacts/{at}/artifact:a"
    for body in (b"[]", b"1", b'"x"', b"{", b""):
        assert client.put(where, body, Content_Type="application/json").status == 400
    assert client.put(where, b"{}", Content_Type="text/plain").status == 400
    assert client.put(f"{where}/.artifact.json", b"{}").status == 400
    assert client.get(f"{where}/.artifact.json").status == 400
    assert client.get(f"/v1/artifacts/{at}").status == 400
    assert client.get(f"/v1/artifacts/{at}/a").status == 400
    assert client.get(where).status == 404
