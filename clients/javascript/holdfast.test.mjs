/** The client against a real service: `HOLDFAST_URL=http://127.0.0.1:8080 node --test`. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { connect, createServer as listen } from "node:net";
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

test("what JSON would alter is refused, with its place", async () => {
  const scope = fresh();
  class Own {}
  const wrong = [
    [{ x: NaN }, /value\.x is NaN/], [{ x: [1, -Infinity] }, /value\.x\[1\] is -Infinity/], [{ z: new Map([[1, 2]]) }, /value\.z is a Map/],
    [new Set(), /the value is a Set/], [[1n], /value\[0\] is a bigint/], [{ a: { b: undefined } }, /value\.a\.b is undefined/],
    [{ a: () => 1 }, /value\.a is a function/], [[Symbol("a")], /a symbol/], [{ [Symbol("a")]: 1 }, /a symbol for a key/],
    [{ at: new Date() }, /value\.at is a Date/], [new Own(), /the value is a Own/], [{ a: new Uint8Array(1) }, /value\.a is a Uint8Array/],
    [new Float64Array(2), /a Float64Array/], [[, 1], /value\[0\] is undefined/], [{ a: { toJSON: () => 1 } }, /value\.a is an object with toJSON/],
    [2 ** 60, /beyond Number.MAX_SAFE_INTEGER/], [[-(2 ** 53)], /value\[0\] is the integer/],
  ];
  for (const [value, message] of wrong) await assert.rejects(scope.put("a", value), { name: "TypeError", message });
  await assert.rejects(store.batch([{ op: "put", address: scope.address("a"), value: { x: NaN } }]), /operations\[0\]\.value\.x is NaN/);
  await assert.rejects(store.batch([{ op: "put", address: scope.address("a"), data: "text" }]), /a Uint8Array/);
  await assert.rejects(scope.put("a", 1, { tags: { a: undefined } }), /tags\.a is undefined/);
  assert.equal(await scope.get("a", { default: "none" }), "none");
  const right = [1e300, 1e21, 2 ** 53 - 1, -0.5, Object.assign(Object.create(null), { a: 1 }), "12345678901234567890"];
  for (const value of right) {
    await scope.put("a", value);
    assert.deepEqual(await scope.get("a"), typeof value === "object" ? { ...value } : value);
  }
});

test("integers that a number cannot hold are told, and there as text", async () => {
  const scope = fresh();
  const text = '{"a":[9007199254740993,"\\"1234567890123456789",0.1234567890123456789,1e20]}';
  const headers = { "content-type": "application/json" };
  await store.ask("PUT", `/v1/values/${scope.path}/a`, { headers, body: text });
  const inexact = (error) => error instanceof HoldfastError && error.code === "inexact" && /9007199254740993.*as: "text"/.test(error.message);
  await assert.rejects(scope.get("a"), inexact);
  await assert.rejects(scope.update("a", (value) => value), inexact);
  await assert.rejects(store.batch([{ op: "get", address: scope.address("a") }]), inexact);
  assert.match(await scope.get("a", { as: "text" }), /9007199254740993/);
  await assert.rejects(scope.get("a", { as: "json" }), TypeError);
  await scope.put("b", ["x\\\"1234567890123456789".repeat(20_000), 1]);
  assert.equal((await scope.get("b"))[1], 1);
});

test("an option that a call does not have is refused, with those that it has", async () => {
  const scope = fresh();
  await scope.put("a", 1);
  const has = (names) => ({ name: "TypeError", message: new RegExp(`has no x; there are ${names}`) });
  const x = { x: 1 };
  const calls = {
    "contentType, tags, expires, durability, ifVersion, ifAbsent, lease": () => scope.put("a", 2, x),
    "version, default, as": () => scope.get("a", x),
    "version, as": () => scope.entry("a", x),
    "range, version": () => scope.getBytes("a", x),
    "range, version$": () => scope.stream("a", x),
    "tags, expires": () => scope.patch("a", x),
    "ifVersion, lease": () => scope.patch("a", {}, x),
    "ifVersion, missingOk, lease": () => scope.delete("a", x),
    "prefix, start, end, tags, order, limit": () => scope.list(x),
    "prefix, start, end, tags, order, limit$": () => scope.keys(x),
    "kind, limit": () => scope.scopes(x),
    "kind, limit$": () => store.scopes(x),
    "initial, attempts, contentType, tags, expires, durability, lease": () => scope.update("a", () => 2, x),
    "after, wait, signal": () => scope.changes(x),
    onlyEmpty: () => scope.drop(x),
    expect: () => store.transaction([], x),
    "seconds, owner, wait": () => store.lease("a", x),
    "token, timeout, fetch": () => open(url, x),
    "headers, body, signal": () => store.request("GET", "/v1", x),
    "headers, body, signal, json": () => store.ask("GET", "/v1", x),
  };
  for (const [names, call] of Object.entries(calls)) await assert.rejects(async () => call(), has(names), names);
  await assert.rejects(scope.put("a", 2, 5), /put takes an object, not 5/);
  const [told] = await store.batch([{ op: "put", address: scope.address("a"), value: 2, ifVersion: 9 }]);
  assert.equal(told.status, 400);
  assert.equal(await scope.get("a"), 1);
});

test("arguments that cannot be are told", async () => {
  for (const wrong of [undefined, null, 5, "", "store", "ftp://host", "http://", `${url}/v1`, `${url}/v1/`, "http://a:b@host", "http://h?a=1"]) {
    assert.throws(() => open(wrong), { name: "TypeError", message: /the URL of a service/ }, String(wrong));
  }
  assert.throws(() => open("127.0.0.1:9181"), /try "http:\/\/127.0.0.1:9181"/);
  assert.throws(() => open("localhost:9181"), /try "http:\/\/localhost:9181"/);
  for (const token of ["a b", "é", "a\nb", 5, null]) assert.throws(() => open(url, { token }), /a token is/);
  for (const timeout of ["5", -1, NaN]) assert.throws(() => open(url, { timeout }), /timeout is a number of seconds/);
  assert.throws(() => store.changes({ after: 0 }), { name: "TypeError", message: /what changes are asked for is a text/ });
  assert.throws(() => store.scope(undefined), /a part of a scope's path is a text/);
  assert.throws(() => all.child("run", 7), /a kind or name is a text, not 7/);
  await assert.rejects(all.put(undefined, 1), /a key is a text, not undefined/);
  await assert.rejects(store.lease("a", { wait: "5" }), /wait is a number of seconds/);
});

test("a token may come with the end of its line", async () => {
  const again = open(url, { token: process.env.HOLDFAST_TOKEN && ` ${process.env.HOLDFAST_TOKEN}\n` });
  assert.deepEqual((await again.about()).token, (await store.about()).token);
});

test("a default is for what is not there", async () => {
  const scope = fresh();
  assert.equal(await scope.get("a", { default: 7 }), 7);
  assert.equal(await scope.get("a", { default: undefined }), undefined);
  await scope.put("a", null);
  assert.equal(await scope.get("a", { default: 7 }), null);
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
  const next = await store.lease(lease.name, { wait: 5 });
  const began = Date.now();
  await assert.rejects(store.lease(lease.name, { wait: 0.2 }), (error) => error.status === 409);
  assert.ok(Date.now() - began >= 190);
  setTimeout(() => next.release(), 100);
  await (await store.lease(lease.name, { wait: 10 })).release();
  assert.ok(next.token > lease.token);
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

test("changes go on when the way to the service was closed", async () => {
  const scope = fresh();
  const { hostname, port } = new URL(url);
  const way = async (at) => {
    const ends = new Set();
    const server = listen((near) => {
      const far = connect(Number(port), hostname);
      for (const end of [near, far]) ends.add(end.on("error", () => {}).on("close", () => (near.destroy(), far.destroy())));
      near.pipe(far).pipe(near);
    });
    await new Promise((resolve) => server.listen(at, "127.0.0.1", resolve));
    return { port: server.address().port, close: () => (server.close(), ends.forEach((end) => end.destroy())) };
  };
  const first = await way(0);
  const far = open(`http://127.0.0.1:${first.port}`, { token: process.env.HOLDFAST_TOKEN }).scope(scope.path);
  const stop = new AbortController();
  const changes = far.changes({ wait: 5, signal: stop.signal });
  const next = changes.next();
  await new Promise((resolve) => setTimeout(resolve, 400));
  first.close();
  await scope.put("a", 1); // while nobody can be told
  await new Promise((resolve) => setTimeout(resolve, 150));
  const second = await way(first.port);
  assert.equal((await next).value.address, scope.address("a"));
  second.close();
  const waiting = changes.next();
  setTimeout(() => stop.abort(), 200); // while it is away
  await assert.rejects(waiting, { name: "AbortError" });
  await assert.rejects(far.changes().next(), { code: "unreachable" });
});

test("what the service has too much to do for is sent again when it says, and a stream is not", async () => {
  let refused = 0;
  const server = createServer((request, answer) => {
    request.resume();
    if (refused++ % 2) return answer.writeHead(200, { "content-type": "application/json" }).end('{"key":"a"}');
    answer.writeHead(503, { "retry-after": "0.1" }).end('{"error":{"code":"busy","message":"later"}}');
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const crowded = (options) => open(`http://127.0.0.1:${server.address().port}`, options).scope("a:b");
    assert.equal((await crowded().put("a", 1)).key, "a");
    assert.equal(refused, 2);
    await assert.rejects(crowded().put("a", new Blob(["text"]).stream()), { code: "busy" });
    refused = 0;
    await assert.rejects(crowded({ timeout: 0 }).get("a"), { code: "busy", status: 503 });
    assert.equal(refused, 1);
  } finally {
    server.close();
  }
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
    answer.writeHead(request.url === "/v1" ? 502 : 200, { "content-type": "text/html" }).end("<h1>Bad Gateway</h1>");
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
    await assert.rejects(behind.scope("a:b").get("c"), (error) => error.code === "http_200" && /is a Holdfast service there/.test(error.message));
  } finally {
    server.close();
  }
});
