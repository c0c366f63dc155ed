/**
 * A client of a Holdfast service, for Node 20 and browsers. It needs nothing but `fetch`.
 *
 * Values are what JSON can say, or bytes. An integer beyond `Number.MAX_SAFE_INTEGER` loses its last digits in `get`, as
 * in all of JavaScript's JSON: `getBytes` has them.
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
 * @param {{token?: string, fetch?: typeof fetch}} [options]
 * @returns {Store}
 */
export function open(url, options = {}) {
  return new Store(url, options);
}

/** A store, over HTTP. */
export class Store {
  #url;
  #token;
  #fetch;

  /**
   * @param {string} url
   * @param {{token?: string, fetch?: typeof fetch}} [options]
   */
  constructor(url, { token, fetch: fetcher = globalThis.fetch } = {}) {
    this.#url = url.replace(/\/+$/, "");
    this.#token = token;
    this.#fetch = fetcher;
  }

  /**
   * Send a request and give its answer, whatever its status. The path is sent as it is, so it is percent-encoded.
   *
   * @param {string} method
   * @param {string} path
   * @param {{headers?: Record<string, string>, body?: BodyInit | null, signal?: AbortSignal}} [options]
   * @returns {Promise<Response>}
   */
  async request(method, path, { headers = {}, body, signal } = {}) {
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
   * Send a request and give its answer if it is a good one.
   *
   * @param {string} method
   * @param {string} path
   * @param {{headers?: Record<string, string>, body?: BodyInit | null, json?: unknown, signal?: AbortSignal}} [options]
   * @returns {Promise<Response>}
   * @throws {HoldfastError}
   */
  async ask(method, path, { headers = {}, body, json, signal } = {}) {
    if (json !== undefined) {
      body = JSON.stringify(json);
      headers = { ...headers, "content-type": "application/json" };
    }
    const answer = await this.request(method, path, { headers, body, signal });
    if (!answer.ok) throw await problem(answer);
    return answer;
  }

  /** What the service is and what the token allows. */
  async about() {
    return (await this.ask("GET", "/v1")).json();
  }

  /**
   * A scope, by the text of its path or of its parts: `scope("namespace:prod/run:7")` or
   * `scope("namespace:prod", "run:7")`. Nothing is sent.
   *
   * @param {...string} parts
   * @returns {Scope}
   */
  scope(...parts) {
    return new Scope(this, parts.join("/"));
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
    const answer = await this.ask("POST", "/v1/batch", { json: { operations: operations.map(asJson) } });
    return (await answer.json()).results;
  }

  /**
   * Many operations in one commit: all or none.
   *
   * @param {Operation[]} operations
   * @param {{expect?: Record<string, number>}} [options] `expect`: versions by address that must be there, 0 for none
   * @returns {Promise<any[]>} a result each
   * @throws {HoldfastError} of the first operation that failed, with its number
   */
  async transaction(operations, { expect } = {}) {
    const json = { operations: operations.map(asJson), ...(expect && { expect }) };
    return (await (await this.ask("POST", "/v1/transactions", { json })).json()).results;
  }

  /**
   * Take a lease: the right to be the only one, until it is released or its time ends.
   *
   * @param {string} name
   * @param {{seconds?: number, owner?: string}} [options]
   * @returns {Promise<Lease>}
   * @throws {HoldfastError} `conflict`, somebody else holds it
   */
  async lease(name, { seconds = 30, owner } = {}) {
    const json = { seconds, ...(owner !== undefined && { owner }) };
    const answer = await this.ask("POST", `/v1/leases/${encodeURIComponent(name)}`, { json });
    return new Lease(this, await answer.json());
  }

  /**
   * Changes of a scope or of one key, for as long as somebody asks for them. They may coalesce: of two writes soon after
   * one another the second alone may be told. A scope's deletions are not told between two requests.
   *
   * @param {string} where the path of a scope, or an address
   * @param {{after?: number | string, wait?: number, signal?: AbortSignal}} [options] `after`: 0 for all that is there, or
   *   of a key the version that is known; without it what happens from now on. `wait`: seconds of one request
   * @returns {AsyncGenerator<{address: string, version: number, deleted: boolean}>}
   */
  async *changes(where, { after, wait = 30, signal } = {}) {
    while (!signal?.aborted) {
      const query = queryOf({ after, wait });
      const answer = await this.ask("GET", `/v1/changes/${encodePath(where)}${query}`, { signal });
      after = answer.headers.get("holdfast-cursor") ?? after;
      if (answer.status === 204) continue;
      const found = await answer.json();
      after = found.cursor;
      yield* found.changes;
    }
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
    const [first, ...rest] = key.split("/");
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
  async put(key, value, options = {}) {
    const headers = putHeaders(options);
    /** @type {BodyInit} */
    let body;
    if (value instanceof Uint8Array || value instanceof ArrayBuffer || value instanceof ReadableStream) {
      headers["content-type"] = options.contentType ?? "application/octet-stream";
      body = /** @type {BodyInit} */ (value);
    } else if (typeof Blob !== "undefined" && value instanceof Blob) {
      headers["content-type"] = options.contentType ?? (value.type || "application/octet-stream");
      body = value;
    } else {
      const text = JSON.stringify(value);
      if (text === undefined) throw new TypeError(`${typeof value} has no form as JSON`);
      if (options.contentType !== undefined) throw new TypeError("a content type is of bytes: give a Uint8Array");
      headers["content-type"] = "application/json";
      body = text;
    }
    return (await this.store.ask("PUT", this.#at("values", key), { headers, body })).json();
  }

  /**
   * The value of a key.
   *
   * @param {string} key
   * @param {{version?: number}} [options] of a version that is kept
   * @returns {Promise<any>}
   * @throws {HoldfastError} `not_found`; `not_acceptable` for what is no JSON: `getBytes` gives it
   */
  async get(key, options) {
    return (await this.entry(key, options)).value;
  }

  /**
   * The value of a key with its version, which `put` takes as `ifVersion`.
   *
   * @param {string} key
   * @param {{version?: number}} [options]
   * @returns {Promise<{value: any, version: string}>}
   */
  async entry(key, { version } = {}) {
    const path = this.#at("values", key);
    let answer = await this.store.request("GET", path + queryOf({ as: "json", version }));
    if (answer.status === 406) {
      const refused = await problem(answer);
      answer = await this.store.request("GET", path + queryOf({ version })); // a long JSON text is kept as a file
      if (answer.headers.get("content-type") !== "application/json") {
        await answer.body?.cancel();
        throw refused;
      }
    }
    if (!answer.ok) throw await problem(answer);
    return { value: await answer.json(), version: answer.headers.get("holdfast-version") ?? "" };
  }

  /**
   * The bytes of a key, or a part of them.
   *
   * @param {string} key
   * @param {{range?: [first: number, last?: number], version?: number}} [options] `range`: its last byte is included
   * @returns {Promise<Uint8Array>}
   */
  async getBytes(key, options) {
    return new Uint8Array(await (await this.#read(key, options)).arrayBuffer());
  }

  /**
   * The bytes of a key as a stream, so that they need not be in memory at once.
   *
   * @param {string} key
   * @param {{range?: [first: number, last?: number], version?: number}} [options]
   * @returns {Promise<ReadableStream<Uint8Array>>}
   */
  async stream(key, options) {
    const { body } = await this.#read(key, options);
    return body ?? new Blob([]).stream();
  }

  /** @param {string} key @param {{range?: [number, number?], version?: number}} [options] */
  #read(key, { range, version } = {}) {
    /** @type {Record<string, string>} */
    const headers = range ? { range: `bytes=${range[0]}-${range[1] ?? ""}` } : {};
    return this.store.ask("GET", this.#at("values", key) + queryOf({ version }), { headers });
  }

  /** @param {string} key @returns {Promise<RecordInfo>} what is known of a key */
  async record(key) {
    return (await this.store.ask("GET", this.#at("records", key))).json();
  }

  /** @param {string} key @returns {Promise<RecordInfo[]>} the versions that are kept beside the newest */
  async history(key) {
    return (await (await this.store.ask("GET", `${this.#at("records", key)}?history=true`)).json()).records;
  }

  /**
   * Change a record's tags, its expiry, or both; null removes them.
   *
   * @param {string} key
   * @param {{tags?: Record<string, string> | null, expires?: number | string | Date | null}} change
   * @param {{ifVersion?: number | string, lease?: Lease}} [options]
   * @returns {Promise<RecordInfo>}
   */
  async patch(key, { tags, expires }, options = {}) {
    const json = {
      ...(tags !== undefined && { tags }),
      ...(expires !== undefined && { expires: expires instanceof Date ? expires.toISOString() : expires }),
    };
    const answer = await this.store.ask("PATCH", this.#at("values", key), { headers: putHeaders(options), json });
    return answer.json();
  }

  /**
   * Remove a key.
   *
   * @param {string} key
   * @param {{ifVersion?: number | string, missingOk?: boolean, lease?: Lease}} [options]
   * @returns {Promise<boolean>} whether there was one; only with `missingOk` it can be false
   */
  async delete(key, { missingOk = false, ...options } = {}) {
    const answer = await this.store.request("DELETE", this.#at("values", key), { headers: putHeaders(options) });
    if (answer.ok) return true;
    const error = await problem(answer);
    if (missingOk && error.code === "not_found") return false;
    throw error;
  }

  /**
   * Records of this scope, by pages, in the order of their keys.
   *
   * @param {{prefix?: string, start?: string, end?: string, tags?: Record<string, string>, order?: string,
   *   limit?: number}} [options] `limit`: of one page
   * @returns {AsyncGenerator<RecordInfo>}
   */
  async *list({ tags = {}, ...options } = {}) {
    const tag = Object.entries(tags).map(([name, value]) => `${name}=${value}`);
    yield* pages(this.store, `/v1/keys/${encodePath(this.path)}`, { ...options, tag, records: true }, "records");
  }

  /** The keys alone; see `list`. @param {object} [options] @returns {AsyncGenerator<string>} */
  async *keys({ tags = {}, ...options } = {}) {
    const tag = Object.entries(tags).map(([name, value]) => `${name}=${value}`);
    yield* pages(this.store, `/v1/keys/${encodePath(this.path)}`, { ...options, tag }, "keys");
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
    return (await (await this.store.ask("POST", this.#at("add", key), { json: { amount } })).json()).value;
  }

  /**
   * Replace a value by a function of it. If somebody wrote in between, the function is called again with the newer one.
   *
   * @param {string} key
   * @param {(value: any) => any} change
   * @param {PutOptions & {initial?: any, attempts?: number}} [options] `initial`: the value where there is none
   * @returns {Promise<any>} the value that was stored
   */
  async update(key, change, { initial, attempts = 100, ...options } = {}) {
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
        await this.put(key, changed, { ...options, ...condition });
        return changed;
      } catch (error) {
        if (!(error instanceof HoldfastError && error.status === 412) || attempt >= attempts) throw error;
        await new Promise((resolve) => setTimeout(resolve, Math.random() * Math.min(attempt, 20) * 2));
      }
    }
  }

  /** @param {{after?: number | string, wait?: number, signal?: AbortSignal}} [options] see `Store.changes` */
  changes(options) {
    return this.store.changes(this.path, options);
  }

  /** Make this scope, if it is not there. @param {Record<string, string>} [properties] */
  async create(properties) {
    return (await this.#scope("PUT", properties && { properties })).json();
  }

  /** What is known of this scope. */
  async info() {
    return (await this.#scope("GET")).json();
  }

  /** Remove this scope with all that is in it. @param {{onlyEmpty?: boolean}} [options] */
  async drop({ onlyEmpty = false } = {}) {
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
    this.expires = (await (await this.store.ask("PATCH", this.#path, { json })).json()).expires;
  }

  /** Give it back. */
  async release() {
    await this.store.ask("DELETE", `${this.#path}?token=${this.token}`);
  }

  get #path() {
    return `/v1/leases/${encodeURIComponent(this.name)}`;
  }
}

/** The error that an answer tells of. @param {Response} answer @returns {Promise<HoldfastError>} */
async function problem(answer) {
  const { status } = answer;
  const text = await answer.text();
  /** @type {any} */
  let told = {};
  try {
    told = JSON.parse(text);
  } catch {
    // a balancer's own answer, or a HEAD
  }
  const { code = `http_${status}`, message = text.slice(0, 500) || `HTTP ${status}`, operation } = told.error ?? {};
  const requestId = told.request_id ?? answer.headers.get("x-request-id") ?? "";
  return new HoldfastError(message, { code, status, requestId, operation: operation ?? told.operation });
}

/** @param {PutOptions} options @returns {Record<string, string>} */
function putHeaders({ tags, expires, durability, ifVersion, ifAbsent, lease }) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (tags !== undefined) headers["holdfast-tags"] = encodeURIComponent(JSON.stringify(tags));
  if (expires !== undefined) headers["holdfast-expires"] = expires instanceof Date ? expires.toISOString() : `${expires}`;
  if (durability !== undefined) headers["holdfast-durability"] = durability;
  if (ifVersion !== undefined) headers["if-match"] = `"${ifVersion}"`;
  if (ifAbsent) headers["if-none-match"] = "*";
  if (lease !== undefined) headers["holdfast-lease"] = `${encodeURIComponent(lease.name)};${lease.token}`;
  return headers;
}

/** @param {Operation} operation */
function asJson({ data, ...rest }) {
  if (data === undefined) return rest;
  let text = "";
  for (let at = 0; at < data.length; at += 32768) text += String.fromCharCode(...data.subarray(at, at + 32768));
  return { ...rest, data: btoa(text) };
}

/** @param {Record<string, unknown>} parameters */
function queryOf(parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of Array.isArray(value) ? value : [value]) if (each !== undefined) query.append(name, String(each));
  }
  return query.size ? `?${query}` : "";
}

/** All elements of what is given by pages. @param {Store} store @param {string} path @param {any} parameters @param {string} name */
async function* pages(store, path, parameters, name) {
  let cursor;
  do {
    const found = await (await store.ask("GET", path + queryOf({ ...parameters, cursor }))).json();
    yield* found[name];
    cursor = found.cursor ?? undefined;
  } while (cursor !== undefined);
}

/** @param {Store} store @param {string} path @param {{kind?: string, limit?: number}} [options] */
async function* children(store, path, options = {}) {
  yield* pages(store, `/v1/children${path ? `/${encodePath(path)}` : ""}`, options, "scopes");
}

/** A kind or name as it stands in the text of a path. @param {string} name */
function encodeName(name) {
  return name.replaceAll("%", "%25").replaceAll("/", "%2F").replaceAll(":", "%3A");
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
