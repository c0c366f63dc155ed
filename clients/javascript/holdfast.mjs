/**
 * A client of a Holdfast service, for Node 20 and browsers. It needs nothing but `fetch`.
 *
 * Values are what JSON can say, or bytes. What JSON cannot carry as it is, such as NaN, a Date or a Map, is a TypeError, and
 * so is an option that a call does not have. An integer in an answer that a number cannot hold is an error, too:
 * `get(key, { as: "text" })` gives the JSON text.
 *
 * @module holdfast
 */

/**
 * What is known of a record.
 * @typedef {object} RecordInfo
 * @property {string} key
 * @property {string} scope
 * @property {string} address
 * @property {number} version
 * @property {number} size of its bytes
 * @property {string} content_type
 * @property {string | null} serializer null for a file
 * @property {string | null} encoding
 * @property {string | null} digest
 * @property {string} created RFC 3339, in UTC, as the other times
 * @property {string} updated
 * @property {string | null} expires
 * @property {Record<string, string>} tags
 */

/**
 * What a put is told beside the value.
 * @typedef {object} PutOptions
 * @property {string} [contentType] of bytes; `application/octet-stream` by default
 * @property {Record<string, string>} [tags]
 * @property {number | string | Date} [expires] seconds from now, or a time
 * @property {"process" | "power"} [durability] what it is to have survived when it returns
 * @property {number | string} [ifVersion] write only while this is the version
 * @property {boolean} [ifAbsent] write only if there is none
 * @property {Lease} [lease] write only while it is held
 */

/** @typedef {Uint8Array | ArrayBuffer | Blob | ReadableStream<Uint8Array>} Bytes */

/**
 * One operation of a batch or a transaction; `value` is JSON, `data` bytes.
 * @typedef {object} Operation
 * @property {"get" | "put" | "delete" | "record" | "add"} op
 * @property {string} address
 * @property {unknown} [value]
 * @property {Uint8Array} [data]
 * @property {string} [content_type]
 * @property {Record<string, string>} [tags]
 * @property {number | string} [expires]
 * @property {number} [if_version]
 * @property {number} [amount]
 */

/** An answer that is an error, or the lack of any. */
export class HoldfastError extends Error {
  /**
   * @param {string} message what is wrong, and what to do about it
   * @param {{code: string, status?: number, requestId?: string, operation?: number, cause?: unknown}} about
   */
  constructor(message, { code, status = 0, requestId = "", operation, cause }) {
    super(message, { cause });
    this.name = "HoldfastError";
    /** Stable, for programs: `not_found`, `conflict`, `forbidden`; `unreachable` when no answer came. */
    this.code = code;
    /** Of HTTP; 0 when no answer came. */
    this.status = status;
    /** By which the service's journal has the request. */
    this.requestId = requestId;
    /** Of a transaction: which operation failed, from 0. */
    this.operation = operation;
  }
}

/**
 * Open a store that a service serves. Nothing is sent before the first call.
 *
 * @param {string} url of the service, such as `http://127.0.0.1:8080`
 * @param {StoreOptions} [options]
 * @returns {Store}
 */
export function open(url, options) {
  return new Store(url, options);
}

/**
 * @typedef {object} StoreOptions
 * @property {string} [token] as `holdfast token create` gives it; spaces and ends of lines around it are left out
 * @property {number} [timeout] seconds for which a request is repeated that the service has too much to do for; 30 by default
 * @property {typeof fetch} [fetch] to send requests with
 */

/** @typedef {{headers?: Record<string, string>, body?: BodyInit | null, signal?: AbortSignal}} Sent of a request */

/** A store, over HTTP. */
export class Store {
  #url;
  #token;
  #timeout;
  #fetch;

  /** @param {string} url @param {StoreOptions} [options] */
  constructor(url, options) {
    const { token, timeout = 30, fetch: fetcher = globalThis.fetch } = known("open", options, "token timeout fetch");
    this.#url = serviceURL(url);
    this.#token = tokenOf(token);
    this.#timeout = seconds("timeout", timeout);
    this.#fetch = fetcher;
  }

  /**
   * Send a request and give its answer, whatever its status. The path is sent as it is, so it is percent-encoded.
   *
   * @param {string} method
   * @param {string} path
   * @param {Sent} [options]
   * @returns {Promise<Response>}
   */
  async request(method, path, options) {
    const { headers = {}, body, signal } = known("request", options, "headers body signal");
    const sent = new Headers(headers);
    if (this.#token !== undefined && !sent.has("authorization")) sent.set("authorization", `Bearer ${this.#token}`);
    /** @type {RequestInit & {duplex?: "half"}} */
    const init = { method, headers: sent, body, signal, redirect: "error", cache: "no-store" };
    if (body instanceof ReadableStream) init.duplex = "half";
    try {
      return await this.#fetch.call(globalThis, this.#url + path, init);
    } catch (error) {
      if (signal?.aborted) throw error;
      const cause = error instanceof Error && error.cause ? error.cause : error;
      throw new HoldfastError(`no answer from ${this.#url}: ${cause}`, { code: "unreachable", cause: error });
    }
  }

  /**
   * Send a request and give its answer if it is a good one. It is sent again while the service says that it has too much
   * to do.
   *
   * @param {string} method
   * @param {string} path
   * @param {Sent & {json?: unknown}} [options]
   * @returns {Promise<Response>}
   * @throws {HoldfastError}
   */
  async ask(method, path, options) {
    const { json, ...sent } = known("ask", options, "headers body signal json");
    if (json !== undefined) {
      sent.body = encode(json);
      sent.headers = { ...sent.headers, "content-type": "application/json" };
    }
    const late = Date.now() + this.#timeout * 1000;
    for (;;) {
      const answer = await this.request(method, path, sent);
      if (answer.ok) return answer;
      const error = await problem(answer);
      const again = Number(answer.headers.get("retry-after")) || 1;
      const waits = error.status === 503 && error.code === "busy" && Date.now() + again * 1000 < late;
      if (!waits || sent.body instanceof ReadableStream) throw error;
      await pause(again, sent.signal);
    }
  }

  /** What the service is and what the token allows. */
  async about() {
    return decode(await this.ask("GET", "/v1"));
  }

  /**
   * A scope, by the text of its path or of its parts: `scope("namespace:prod/run:7")` or
   * `scope("namespace:prod", "run:7")`. Nothing is sent.
   *
   * @param {...string} parts
   * @returns {Scope}
   */
  scope(...parts) {
    return new Scope(this, parts.map((part) => text("a part of a scope's path", part)).join("/"));
  }

  /**
   * Scopes at the root of the store, by pages.
   * @param {{kind?: string, limit?: number}} [options]
   */
  scopes(options) {
    return children(this, "", options);
  }

  /**
   * Many operations in one request, each for itself; at most 1,000.
   *
   * @param {Operation[]} operations
   * @returns {Promise<any[]>} a result each, with its `status`
   */
  async batch(operations) {
    const json = { operations: operations.map(asJson) };
    return (await decode(await this.ask("POST", "/v1/batch", { json }))).results;
  }

  /**
   * Many operations in one commit: all or none.
   *
   * @param {Operation[]} operations
   * @param {{expect?: Record<string, number>}} [options] `expect`: versions by address that must be there, 0 for none
   * @returns {Promise<any[]>} a result each
   * @throws {HoldfastError} of the first operation that failed, with its number
   */
  async transaction(operations, options) {
    const { expect } = known("transaction", options, "expect");
    const json = { operations: operations.map(asJson), ...(expect !== undefined && { expect }) };
    return (await decode(await this.ask("POST", "/v1/transactions", { json }))).results;
  }

  /**
   * Take a lease: the right to be the only one, until it is released or its time ends.
   *
   * @param {string} name
   * @param {{seconds?: number, owner?: string, wait?: number}} [options] `wait`: seconds to wait for who holds it, 0 by
   *   default, Infinity for ever
   * @returns {Promise<Lease>}
   * @throws {HoldfastError} of status 409, somebody else holds it
   */
  async lease(name, options) {
    const { seconds: held = 30, owner, wait = 0 } = known("lease", options, "seconds owner wait");
    const path = `/v1/leases/${encodeURIComponent(text("the name of a lease", name))}`;
    const json = { seconds: held, ...(owner !== undefined && { owner }) };
    const late = Date.now() + seconds("wait", wait) * 1000;
    for (let next = 0.05; ; next = Math.min(1, 2 * next)) {
      try {
        return new Lease(this, await decode(await this.ask("POST", path, { json })));
      } catch (error) {
        const left = (late - Date.now()) / 1000;
        if (!(error instanceof HoldfastError && error.status === 409) || left <= 0) throw error;
        await pause(Math.min(next, left));
      }
    }
  }

  /**
   * Changes of a scope or of one key, for as long as somebody asks for them. They may coalesce: of two writes soon after
   * one another the second alone may be told. A scope's deletions are not told between two requests. Once a first answer
   * came, a service that is away is waited for, until the signal ends it.
   *
   * @param {string} where the path of a scope, or an address
   * @param {{after?: number | string, wait?: number, signal?: AbortSignal}} [options] `after`: 0 for all that is there, or
   *   of a key the version that is known; without it what happens from now on. `wait`: seconds of one request
   * @returns {AsyncGenerator<{address: string, version: number, deleted: boolean}>}
   */
  changes(where, options) {
    const path = `/v1/changes/${encodePath(text("what changes are asked for", where))}`;
    return follow(this, path, known("changes", options, "after wait signal"));
  }
}

/** A place for records: `namespace:prod/run:7`. */
export class Scope {
  /**
   * @param {Store} store
   * @param {string} path as text, its names encoded as in an address
   */
  constructor(store, path) {
    this.store = store;
    this.path = path;
  }

  /** @param {string} kind @param {string} name @returns {Scope} the scope below, with any name */
  child(kind, name) {
    const part = `${encodeName(kind)}:${encodeName(name)}`;
    return new Scope(this.store, this.path ? `${this.path}/${part}` : part);
  }

  /** The address of a key, as text. @param {string} key */
  address(key) {
    const [first, ...rest] = text("a key", key).split("/");
    return [this.path, first.replaceAll("%", "%25").replaceAll(":", "%3A"), ...rest].join("/");
  }

  /** @param {string} room @param {string} key */
  #at(room, key) {
    return `/v1/${room}/${encodePath(this.address(key))}`;
  }

  /**
   * Store a value: bytes as a file, all else as JSON.
   *
   * @param {string} key
   * @param {unknown | Bytes} value
   * @param {PutOptions} [options]
   * @returns {Promise<RecordInfo>}
   * @throws {HoldfastError} `conflict` or `exists`, a condition does not hold
   */
  async put(key, value, options) {
    const { contentType, ...conditions } = known("put", options, PUT);
    const headers = putHeaders(conditions);
    /** @type {BodyInit} */
    let body;
    if (value instanceof Uint8Array || value instanceof ArrayBuffer || value instanceof ReadableStream) {
      headers["content-type"] = contentType ?? "application/octet-stream";
      body = /** @type {BodyInit} */ (value);
    } else if (typeof Blob !== "undefined" && value instanceof Blob) {
      headers["content-type"] = contentType ?? (value.type || "application/octet-stream");
      body = value;
    } else {
      if (contentType !== undefined) throw new TypeError("a content type is of bytes: give a Uint8Array");
      headers["content-type"] = "application/json";
      body = encode(value);
    }
    return decode(await this.store.ask("PUT", this.#at("values", key), { headers, body }));
  }

  /**
   * The value of a key.
   *
   * @param {string} key
   * @param {{version?: number, default?: any, as?: "text"}} [options] `version`: of one that is kept; `default`: what is
   *   given where there is none; `as: "text"`: the value as JSON text, with all digits of its numbers
   * @returns {Promise<any>}
   * @throws {HoldfastError} `not_found`; `not_acceptable` for what is no JSON: `getBytes` gives it; `inexact` for an
   *   integer that a number cannot hold
   */
  async get(key, options) {
    const { default: instead, ...rest } = known("get", options, "version default as");
    try {
      return (await this.entry(key, rest)).value;
    } catch (error) {
      if (options && "default" in options && error instanceof HoldfastError && error.code === "not_found") return instead;
      throw error;
    }
  }

  /**
   * The value of a key with its version, which `put` takes as `ifVersion`.
   *
   * @param {string} key
   * @param {{version?: number, as?: "text"}} [options] see `get`
   * @returns {Promise<{value: any, version: string}>}
   */
  async entry(key, options) {
    const { version, as } = known("entry", options, "version as");
    if (as !== undefined && as !== "text") throw new TypeError(`as is "text", or not given, not ${show(as)}`);
    const path = this.#at("values", key);
    /** @type {Response} */
    let answer;
    try {
      answer = await this.store.ask("GET", path + queryOf({ as: "json", version }));
    } catch (refused) {
      if (!(refused instanceof HoldfastError && refused.status === 406)) throw refused;
      answer = await this.store.ask("GET", path + queryOf({ version })); // a long JSON text is kept as a file
      if (answer.headers.get("content-type") !== "application/json") {
        await answer.body?.cancel();
        throw refused;
      }
    }
    const value = as === "text" ? await whole(answer, "text") : await decode(answer);
    return { value, version: answer.headers.get("holdfast-version") ?? "" };
  }

  /**
   * The bytes of a key, or a part of them.
   *
   * @param {string} key
   * @param {{range?: [first: number, last?: number], version?: number}} [options] `range`: its last byte is included
   * @returns {Promise<Uint8Array>}
   */
  async getBytes(key, options) {
    return new Uint8Array(await whole(await this.#read("getBytes", key, options), "arrayBuffer"));
  }

  /**
   * The bytes of a key as a stream, so that they need not be in memory at once.
   *
   * @param {string} key
   * @param {{range?: [first: number, last?: number], version?: number}} [options]
   * @returns {Promise<ReadableStream<Uint8Array>>}
   */
  async stream(key, options) {
    const { body } = await this.#read("stream", key, options);
    return body ?? new Blob([]).stream();
  }

  /** @param {string} call @param {string} key @param {{range?: [number, number?], version?: number}} [options] */
  #read(call, key, options) {
    const { range, version } = known(call, options, "range version");
    /** @type {Record<string, string>} */
    const headers = range ? { range: `bytes=${range[0]}-${range[1] ?? ""}` } : {};
    return this.store.ask("GET", this.#at("values", key) + queryOf({ version }), { headers });
  }

  /** @param {string} key @returns {Promise<RecordInfo>} what is known of a key */
  async record(key) {
    return decode(await this.store.ask("GET", this.#at("records", key)));
  }

  /** @param {string} key @returns {Promise<RecordInfo[]>} the versions that are kept beside the newest */
  async history(key) {
    return (await decode(await this.store.ask("GET", `${this.#at("records", key)}?history=true`))).records;
  }

  /**
   * Change a record's tags, its expiry, or both; null removes them.
   *
   * @param {string} key
   * @param {{tags?: Record<string, string> | null, expires?: number | string | Date | null}} change
   * @param {{ifVersion?: number | string, lease?: Lease}} [options]
   * @returns {Promise<RecordInfo>}
   */
  async patch(key, change, options) {
    const { tags, expires } = known("patch", change, "tags expires");
    const headers = putHeaders(known("patch", options, "ifVersion lease"));
    const json = { ...(tags !== undefined && { tags }), ...(expires !== undefined && { expires: timeOf(expires) }) };
    return decode(await this.store.ask("PATCH", this.#at("values", key), { headers, json }));
  }

  /**
   * Remove a key.
   *
   * @param {string} key
   * @param {{ifVersion?: number | string, missingOk?: boolean, lease?: Lease}} [options]
   * @returns {Promise<boolean>} whether there was one; only with `missingOk` it can be false
   */
  async delete(key, options) {
    const { missingOk = false, ...conditions } = known("delete", options, "ifVersion missingOk lease");
    try {
      await this.store.ask("DELETE", this.#at("values", key), { headers: putHeaders(conditions) });
      return true;
    } catch (error) {
      if (missingOk && error instanceof HoldfastError && error.code === "not_found") return false;
      throw error;
    }
  }

  /**
   * Records of this scope, by pages, in the order of their keys.
   *
   * @param {{prefix?: string, start?: string, end?: string, tags?: Record<string, string>, order?: string,
   *   limit?: number}} [options] `limit`: of one page
   * @returns {AsyncGenerator<RecordInfo>}
   */
  list(options) {
    return this.#pages("list", options, "records");
  }

  /** The keys alone; see `list`. @param {object} [options] @returns {AsyncGenerator<string>} */
  keys(options) {
    return this.#pages("keys", options, "keys");
  }

  /** @param {string} call @param {object | undefined} options @param {"records" | "keys"} what */
  #pages(call, options, what) {
    const { tags = {}, ...rest } = known(call, options, "prefix start end tags order limit");
    const tag = Object.entries(tags).map(([name, value]) => `${name}=${value}`);
    const records = what === "records" || undefined;
    return pages(this.store, `/v1/keys/${encodePath(this.path)}`, { ...rest, tag, records }, what);
  }

  /** Scopes right below this one. @param {{kind?: string, limit?: number}} [options] */
  scopes(options) {
    return children(this.store, this.path, options);
  }

  /**
   * Add to an integer, which begins at 0. Never conflicts.
   *
   * @param {string} key
   * @param {number} [amount]
   * @returns {Promise<number>} the sum
   */
  async add(key, amount = 1) {
    return (await decode(await this.store.ask("POST", this.#at("add", key), { json: { amount } }))).value;
  }

  /**
   * Replace a value by a function of it. If somebody wrote in between, the function is called again with the newer one.
   *
   * @param {string} key
   * @param {(value: any) => any} change
   * @param {Omit<PutOptions, "ifVersion" | "ifAbsent"> & {initial?: any, attempts?: number}} [options] `initial`: the
   *   value where there is none
   * @returns {Promise<any>} the value that was stored
   */
  async update(key, change, options) {
    const names = "initial attempts contentType tags expires durability lease";
    const { initial, attempts = 100, ...rest } = known("update", options, names);
    for (let attempt = 1; ; attempt++) {
      /** @type {PutOptions} */
      let condition = { ifAbsent: true };
      let value = initial;
      try {
        const entry = await this.entry(key);
        value = entry.value;
        condition = { ifVersion: entry.version };
      } catch (error) {
        if (!(error instanceof HoldfastError && error.code === "not_found") || initial === undefined) throw error;
      }
      const changed = await change(value);
      try {
        await this.put(key, changed, { ...rest, ...condition });
        return changed;
      } catch (error) {
        if (!(error instanceof HoldfastError && error.status === 412) || attempt >= attempts) throw error;
        await pause(Math.random() * Math.min(attempt, 20) * 0.002);
      }
    }
  }

  /** @param {{after?: number | string, wait?: number, signal?: AbortSignal}} [options] see `Store.changes` */
  changes(options) {
    return this.store.changes(this.path, options);
  }

  /** Make this scope, if it is not there. @param {Record<string, string>} [properties] */
  async create(properties) {
    return decode(await this.#scope("PUT", properties && { properties }));
  }

  /** What is known of this scope. */
  async info() {
    return decode(await this.#scope("GET"));
  }

  /** Remove this scope with all that is in it. @param {{onlyEmpty?: boolean}} [options] */
  async drop(options) {
    const { onlyEmpty = false } = known("drop", options, "onlyEmpty");
    await this.#scope("DELETE", undefined, onlyEmpty ? "?only_empty=true" : "");
  }

  /** @param {string} method @param {unknown} [json] */
  #scope(method, json, query = "") {
    return this.store.ask(method, `/v1/scopes/${encodePath(this.path)}${query}`, { json });
  }
}

/** The right to be the only one who does something. */
export class Lease {
  /**
   * @param {Store} store
   * @param {{name: string, owner: string, token: number, expires: string}} held
   */
  constructor(store, { name, owner, token, expires }) {
    this.store = store;
    this.name = name;
    this.owner = owner;
    /** Greater for each new owner. */
    this.token = token;
    /** When it ends, if it is not renewed. */
    this.expires = expires;
  }

  /** Go on holding it. @param {number} [seconds] from now */
  async renew(seconds = 30) {
    const json = { token: this.token, seconds };
    this.expires = (await decode(await this.store.ask("PATCH", this.#path, { json }))).expires;
  }

  /** Give it back. */
  async release() {
    await this.store.ask("DELETE", `${this.#path}?token=${this.token}`);
  }

  get #path() {
    return `/v1/leases/${encodeURIComponent(this.name)}`;
  }
}

// --- what is given ---------------------------------------------------------------------------------------------------

const PUT = "contentType tags expires durability ifVersion ifAbsent lease";

/** @param {unknown} value @returns {string} */
function show(value) {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/**
 * The options of a call, which has no others than these.
 * @param {string} call @param {any} options @param {string} names @returns {any}
 */
function known(call, options, names) {
  if (options === undefined) return {};
  if (options === null || typeof options !== "object") throw new TypeError(`${call} takes an object, not ${show(options)}`);
  const there = names.split(" ");
  const unknown = Object.keys(options).find((name) => !there.includes(name));
  if (unknown !== undefined) throw new TypeError(`${call} has no ${unknown}; there are ${there.join(", ")}`);
  return options;
}

/** @param {string} what @param {unknown} value @returns {string} */
function text(what, value) {
  if (typeof value !== "string") throw new TypeError(`${what} is a text, not ${show(value)}`);
  return value;
}

/** @param {string} name @param {unknown} value @returns {number} */
function seconds(name, value) {
  if (typeof value !== "number" || !(value >= 0)) throw new TypeError(`${name} is a number of seconds, not ${show(value)}`);
  return value;
}

/** @param {unknown} url @returns {string} without a slash at its end */
function serviceURL(url) {
  const told = `the URL of a service is such as "http://127.0.0.1:8080", not ${show(url)}`;
  if (typeof url !== "string") throw new TypeError(told);
  if (!/^https?:/i.test(url)) throw new TypeError(/^[\w.-]+(:\d+)?\/*$/.test(url) ? `${told}: try "http://${url}"` : told);
  /** @type {URL} */
  let parts;
  try {
    parts = new URL(url);
  } catch {
    throw new TypeError(told);
  }
  if (parts.username || parts.password) throw new TypeError("the URL of a service names no user: who asks is said by token");
  if (parts.search || parts.hash) throw new TypeError(told);
  const bare = url.replace(/\/+$/, "");
  if (bare.endsWith("/v1")) throw new TypeError(`the URL of a service has no /v1: give ${show(bare.slice(0, -3))}`);
  return bare;
}

/** @param {unknown} token @returns {string | undefined} */
function tokenOf(token) {
  const bare = token === undefined ? "" : text("a token", token).trim();
  if (!/^[!-~]*$/.test(bare)) throw new TypeError("a token is printable ASCII, as holdfast token create gives it");
  return bare || undefined;
}

/** @param {any} time */
function timeOf(time) {
  return time instanceof Date ? time.toISOString() : time;
}

/** @param {PutOptions} options @returns {Record<string, string>} */
function putHeaders({ tags, expires, durability, ifVersion, ifAbsent, lease }) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (tags !== undefined) headers["holdfast-tags"] = encodeURIComponent(encode(tags, "tags"));
  if (expires !== undefined) headers["holdfast-expires"] = `${timeOf(expires)}`;
  if (durability !== undefined) headers["holdfast-durability"] = durability;
  if (ifVersion !== undefined) headers["if-match"] = `"${ifVersion}"`;
  if (ifAbsent) headers["if-none-match"] = "*";
  if (lease !== undefined) headers["holdfast-lease"] = `${encodeURIComponent(lease.name)};${lease.token}`;
  return headers;
}

/** @param {Operation} operation */
function asJson({ data, expires, ...rest }) {
  const json = { ...rest, ...(expires !== undefined && { expires: timeOf(expires) }) };
  if (data === undefined) return json;
  if (!(data instanceof Uint8Array)) throw new TypeError(`the data of an operation is a Uint8Array, not ${show(data)}`);
  let bytes = "";
  for (let at = 0; at < data.length; at += 32768) bytes += String.fromCharCode(...data.subarray(at, at + 32768));
  return { ...json, data: btoa(bytes) };
}

/**
 * A value as JSON, which has to carry all of it.
 * @param {unknown} value @param {string} [name] of it, in errors
 */
function encode(value, name = "the value") {
  /** @type {Map<unknown, [above: any, key: string]>} */
  const places = new Map();
  /** @type {(above: any, key: string) => string} */
  const place = (above, key) => {
    const at = places.get(above);
    return at === undefined ? name : place(...at) + (Array.isArray(above) ? `[${key}]` : `.${key}`);
  };
  return JSON.stringify(value, /** @this {any} */ function (key, changed) {
    const item = this[key];
    const lost = lossOf(item) ?? (changed !== item ? "an object with toJSON" : undefined);
    if (lost !== undefined) throw new TypeError(`${place(this, key)} is ${lost}, which JSON does not carry as it is`);
    if (typeof item === "object") places.set(item, [this, key]);
    return item;
  });
}

/** What it is, if JSON would alter it or leave it out. @param {any} item @returns {string | undefined} */
function lossOf(item) {
  if (typeof item === "string" || typeof item === "boolean" || item === null) return undefined;
  if (typeof item === "number") {
    if (!Number.isFinite(item)) return String(item);
    const other = Number.isInteger(item) && !Number.isSafeInteger(item) && Math.abs(item) < 1e21; // those above have an "e"
    return other ? `the integer ${item} beyond Number.MAX_SAFE_INTEGER` : undefined;
  }
  if (typeof item !== "object") return item === undefined ? "undefined" : `a ${typeof item}`;
  if (Object.getOwnPropertySymbols(item).length) return "an object with a symbol for a key";
  if (Array.isArray(item)) return undefined;
  const kind = Object.getPrototypeOf(item);
  return kind === null || Object.getPrototypeOf(kind) === null ? undefined : `a ${kind.constructor?.name || "class instance"}`;
}

// --- what is answered ------------------------------------------------------------------------------------------------

/**
 * @template {"text" | "arrayBuffer"} Kind
 * @param {Response} answer @param {Kind} kind @returns {Promise<Awaited<ReturnType<Response[Kind]>>>} its body
 */
async function whole(answer, kind) {
  try {
    return /** @type {any} */ (await answer[kind]());
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new HoldfastError(`the answer broke off: ${error.cause ?? error}`, { code: "unreachable", cause: error });
  }
}

/** What JSON an answer has, with all of its integers. @param {Response} answer @returns {Promise<any>} */
async function decode(answer) {
  const told = await whole(answer, "text");
  const about = { status: answer.status, requestId: answer.headers.get("x-request-id") ?? "" };
  /** @type {any} */
  let value;
  try {
    value = JSON.parse(told);
  } catch (cause) {
    const code = `http_${answer.status}`;
    throw new HoldfastError(`the answer of ${answer.url} is no JSON: is a Holdfast service there?`, { ...about, code, cause });
  }
  if (!/\d{16}/.test(told)) return value;
  for (const [token] of told.matchAll(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g)) {
    if (/^-?\d+$/.test(token) && !Number.isSafeInteger(Number(token))) {
      const way = 'get(key, { as: "text" }) gives the value as JSON text';
      throw new HoldfastError(`a number cannot hold the integer ${token} of the answer: ${way}`, { ...about, code: "inexact" });
    }
  }
  return value;
}

/** The error that an answer tells of. @param {Response} answer @returns {Promise<HoldfastError>} */
async function problem(answer) {
  const { status } = answer;
  const body = await whole(answer, "text");
  /** @type {any} */
  let told = {};
  try {
    told = JSON.parse(body);
  } catch {
    // a balancer's own answer, or a HEAD
  }
  const { code = `http_${status}`, message = body.slice(0, 500) || `HTTP ${status}`, operation } = told.error ?? {};
  const requestId = told.request_id ?? answer.headers.get("x-request-id") ?? "";
  return new HoldfastError(message, { code, status, requestId, operation: operation ?? told.operation });
}

/** @param {number} time seconds @param {AbortSignal} [signal] that ends it @returns {Promise<void>} */
function pause(time, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const ended = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", ended);
      resolve();
    }, time * 1000);
    signal?.addEventListener("abort", ended, { once: true });
  });
}

/** @param {Record<string, unknown>} parameters */
function queryOf(parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of Array.isArray(value) ? value : [value]) if (each !== undefined) query.append(name, String(each));
  }
  return query.size ? `?${query}` : "";
}

/**
 * All elements of what is given by pages.
 * @param {Store} store @param {string} path @param {any} parameters @param {string} name
 */
async function* pages(store, path, parameters, name) {
  let cursor;
  do {
    const found = await decode(await store.ask("GET", path + queryOf({ ...parameters, cursor })));
    yield* found[name];
    cursor = found.cursor ?? undefined;
  } while (cursor !== undefined);
}

/** @param {Store} store @param {string} path @param {{kind?: string, limit?: number}} [options] */
function children(store, path, options) {
  const where = `/v1/children${path ? `/${encodePath(path)}` : ""}`;
  return pages(store, where, known("scopes", options, "kind limit"), "scopes");
}

/** @param {Store} store @param {string} path @param {{after?: number | string, wait?: number, signal?: AbortSignal}} options */
async function* follow(store, path, { after, wait = 30, signal }) {
  let next = 0; // seconds until it is tried again
  let begun = false;
  while (!signal?.aborted) {
    let found = [];
    try {
      const query = queryOf({ after, wait: after === undefined ? 0 : wait }); // the first cursor comes at once
      const answer = await store.ask("GET", path + query, { signal });
      const told = answer.status === 204 ? undefined : await decode(answer);
      after = told?.cursor ?? answer.headers.get("holdfast-cursor") ?? after;
      found = told?.changes ?? [];
      [begun, next] = [true, 0];
    } catch (error) {
      const away = error instanceof HoldfastError && [0, 429, 502, 503, 504].includes(error.status);
      if (!begun || !away) throw error;
      next = Math.min(2 * next || 0.1, 5);
      await pause(next, signal);
    }
    yield* found;
  }
}

/** A kind or name as it stands in the text of a path. @param {string} name */
function encodeName(name) {
  return text("a kind or name", name).replaceAll("%", "%25").replaceAll("/", "%2F").replaceAll(":", "%3A");
}

/**
 * An address or path as it stands in a URL. `fetch` takes a segment of dots for a step up, so then no slash stands bare.
 * @param {string} text
 */
function encodePath(text) {
  const parts = text.split("/");
  const dots = parts.some((part) => part === "." || part === "..");
  return parts.map((part) => encodeURIComponent(part).replaceAll("%3A", ":")).join(dots ? "%2F" : "/");
}
