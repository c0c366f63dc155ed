/** The client against a real service: `HOLDFAST_URL=http://127.0.0.1:8080 node --test`. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { HoldfastError, open } from "./holdfast.mjs";

const url = process.env.HOLDFAST_URL;
assert.ok(url, "name a service in HOLDFAST_URL");
const store = open(url, { token: process.env.HOLDFAST_TOKEN });
const all = store.scope(`namespace:javascript-${randomBytes(6).toString("hex")}`);
let count = 0;
const fresh = () => all.child("test", String(++count));
const fails = (code, status) => (error) => {
  assert.ok(error instanceof HoldfastError, error);
  assert.deepEqual([error.code, error.status], [code, status]);
  assert.ok(error.message && error.requestId);
  return true;
};
const collect = async (items) => {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
};

before(() => all.create());
after(() => all.drop());

test("the service tells what it is", async () => {
  assert.equal((await store.about()).name, "holdfast");
});

test("values come back as they were put", async () => {
  const scope = fresh();
  for (const value of [{ a: [1, 2.5, null, true] }, "text", "", 0, -3, false, null, [], "grüß 🎈"]) {
    const record = await scope.put("value", value);
    assert.equal(record.key, "value");
    assert.deepEqual(await scope.get("value"), value);
  }
});

test("a long JSON text comes back, too", async () => {
  const scope = fresh();
  const value = { text: "x".repeat(5 << 20) };
  await scope.put("long", value);
  assert.deepEqual(await scope.get("long"), value);
});

test("bytes come back by all ways", async () => {
  const scope = fresh();
  const bytes = new Uint8Array(randomBytes(300_000));
  await scope.put("array", bytes);
  await scope.put("buffer", bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  await scope.put("blob", new Blob([bytes], { type: "image/x-own" }));
  await scope.put("stream", new Blob([bytes]).stream());
  for (const key of ["array", "buffer", "blob", "stream"]) {
    assert.deepEqual(await scope.getBytes(key), bytes);
    const pieces = await collect(await scope.stream(key));
    assert.deepEqual(new Uint8Array(Buffer.concat(pieces)), bytes);
  }
  assert.equal((await scope.record("blob")).content_type, "image/x-own");
  assert.equal((await scope.record("stream")).content_type, "application/octet-stream");
  assert.deepEqual(await scope.getBytes("blob", { range: [10, 19] }), bytes.slice(10, 20));
  assert.deepEqual(await scope.getBytes("blob", { range: [299_990] }), bytes.slice(299_990));
  await scope.put("empty", new Uint8Array());
  assert.equal((await scope.getBytes("empty")).length, 0);
});

test("bytes are not got as a value", async () => {
  const scope = fresh();
  await scope.put("bytes", new Uint8Array([1]));
  await assert.rejects(scope.get("bytes"), fails("not_acceptable", 406));
});

test("what has no form as JSON is refused before it is sent", async () => {
  await assert.rejects(fresh().put("a", undefined), TypeError);
  await assert.rejects(fresh().put("a", () => 1), TypeError);
  await assert.rejects(fresh().put("a", {}, { contentType: "text/plain" }), TypeError);
});

test("odd names", async () => {
  const scope = fresh().child("a/b", "c:d%?#");
  for (const key of ["a/b/c", "a b", "50%", "a:b/c:d", "ä日🎈", "a?b#c", "+", "..", "a/../b", "./a", "a%2Fb"]) {
    const record = await scope.put(key, key);
    assert.equal(record.key, key);
    assert.equal(record.address, scope.address(key));
    assert.equal(await scope.get(key), key);
    assert.equal((await scope.record(key)).key, key);
  }
  assert.equal((await collect(scope.keys())).length, 11);
});

test("tags and expiry", async () => {
  const scope = fresh();
  await scope.put("a", 1, { tags: { "dark red": "ü=1" }, expires: new Date(Date.now() + 3600e3) });
  const record = await scope.record("a");
  assert.deepEqual(record.tags, { "dark red": "ü=1" });
  assert.ok(Math.abs(new Date(record.expires) - Date.now() - 3600e3) < 60e3);
  const changed = await scope.patch("a", { tags: { b: "c" }, expires: null });
  assert.deepEqual([changed.tags, changed.expires], [{ b: "c" }, null]);
  await scope.put("short", 1, { expires: 0.2, durability: "power" });
  await new Promise((resolve) => setTimeout(resolve, 300));
  await assert.rejects(scope.get("short"), fails("not_found", 404));
});

test("conditions", async () => {
  const scope = fresh();
  await scope.put("a", 1, { ifAbsent: true });
  await assert.rejects(scope.put("a", 2, { ifAbsent: true }), (error) => error.status === 412);
  const { version } = await scope.entry("a");
  await scope.put("a", 2, { ifVersion: version });
  await assert.rejects(scope.put("a", 3, { ifVersion: version }), fails("conflict", 412));
  await assert.rejects(scope.delete("a", { ifVersion: version }), fails("conflict", 412));
  assert.equal(await scope.get("a"), 2);
});

test("deleting", async () => {
  const scope = fresh();
  await scope.put("a", 1);
  assert.equal(await scope.delete("a"), true);
  assert.equal(await scope.delete("a", { missingOk: true }), false);
  await assert.rejects(scope.delete("a"), fails("not_found", 404));
});

test("lists are complete over their pages", async () => {
  const scope = fresh();
  await store.batch(Array.from({ length: 25 }, (_, at) => ({
    op: "put", address: scope.address(`key${String(at).padStart(2, "0")}`), value: at, tags: { odd: String(at % 2) },
  })));
  const keys = await collect(scope.keys({ limit: 7 }));
  assert.deepEqual(keys, Array.from({ length: 25 }, (_, at) => `key${String(at).padStart(2, "0")}`));
  const odd = await collect(scope.list({ limit: 5, prefix: "key1", tags: { odd: "1" } }));
  assert.deepEqual(odd.map((record) => record.key), ["key11", "key13", "key15", "key17", "key19"]);
});

test("scopes are listed, made and dropped", async () => {
  const scope = fresh();
  for (const name of ["a", "b", "c"]) await scope.child("run", name).put("x", 1);
  assert.equal((await collect(scope.scopes({ kind: "run", limit: 2 }))).length, 3);
  await assert.rejects(scope.child("run", "a").drop({ onlyEmpty: true }), HoldfastError);
  await scope.child("run", "a").drop();
  assert.equal((await collect(scope.scopes())).length, 2);
  assert.ok(await scope.info());
  assert.ok((await collect(store.scopes({ kind: "namespace" }))).length >= 1);
});

test("adding and updating lose nothing", async () => {
  const scope = fresh();
  const ten = Array.from({ length: 10 });
  await Promise.all(ten.map(() => scope.add("sum", 3)));
  assert.equal(await scope.add("sum", -30), 0);
  await Promise.all(ten.map((_, at) => scope.update("names", (names) => [...names, at], { initial: [] })));
  assert.deepEqual((await scope.get("names")).sort(), ten.map((_, at) => at));
  await assert.rejects(scope.update("none", (value) => value), fails("not_found", 404));
});

test("a transaction is all or none", async () => {
  const scope = fresh();
  const results = await store.transaction([
    { op: "put", address: scope.address("a"), value: { x: 1 } },
    { op: "put", address: scope.address("b"), data: new Uint8Array([0, 255]), content_type: "image/x-own" },
    { op: "add", address: scope.address("n"), amount: 4 },
  ], { expect: { [scope.address("a")]: 0 } });
  assert.equal(results.length, 3);
  assert.deepEqual(await scope.getBytes("b"), new Uint8Array([0, 255]));
  await assert.rejects(store.transaction([
    { op: "put", address: scope.address("c"), value: 1 },
    { op: "delete", address: scope.address("none") },
  ]), (error) => fails("not_found", 404)(error) && error.operation === 1);
  await assert.rejects(scope.get("c"), fails("not_found", 404));
});

test("a lease has one holder", async () => {
  const scope = fresh();
  const lease = await store.lease(`${all.path} ü/1`, { seconds: 30 });
  await assert.rejects(store.lease(lease.name), (error) => error.status === 409);
  await lease.renew(60);
  assert.ok(new Date(lease.expires) - Date.now() > 40e3);
  await scope.put("a", 1, { lease });
  await lease.release();
  await assert.rejects(scope.put("a", 2, { lease }), fails("lease_lost", 409));
  const next = await store.lease(lease.name);
  assert.ok(next.token > lease.token);
  await next.release();
});

test("changes come as they are made", async () => {
  const scope = fresh();
  await scope.put("a", 1);
  const seen = [];
  for await (const change of scope.changes({ after: 0, wait: 5 })) {
    seen.push([change.address, change.deleted]);
    if (seen.length === 2) break;
    setTimeout(() => scope.put("b", 2), 50);
  }
  assert.deepEqual(seen, [[scope.address("a"), false], [scope.address("b"), false]]);
  const stop = new AbortController();
  const waiting = scope.changes({ wait: 20, signal: stop.signal }).next();
  setTimeout(() => stop.abort(), 100);
  await assert.rejects(waiting, { name: "AbortError" });
});

test("what is not there, and who does not answer", async () => {
  await assert.rejects(fresh().get("none"), fails("not_found", 404));
  await assert.rejects(store.scope("no path").put("a", 1), (error) => error.status === 400);
  const nobody = open("http://127.0.0.1:1");
  await assert.rejects(nobody.about(), (error) => error instanceof HoldfastError && error.code === "unreachable");
});

test("the answer of a balancer is an error, too; the token is sent, and told to nobody", async () => {
  const sent = [];
  const server = createServer((request, answer) => {
    sent.push(request.headers.authorization);
    answer.writeHead(502, { "content-type": "text/html" }).end("<h1>Bad Gateway</h1>");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const behind = open(`http://127.0.0.1:${server.address().port}/`, { token: "hft_0_secret" });
    await assert.rejects(behind.about(), (error) => {
      assert.deepEqual([error.code, error.status], ["http_502", 502]);
      assert.ok(!JSON.stringify([error.message, error.stack, behind]).includes("secret"));
      return true;
    });
    assert.deepEqual(sent, ["Bearer hft_0_secret"]);
  } finally {
    server.close();
  }
});
