#!/usr/bin/env node
/**
 * Hold a service, and this client's own way to send requests, against the cases of `conformance/cases.json`; README.md
 * there says what is in them.
 *
 *     node conformance.mjs http://127.0.0.1:8080 [--token T] [--narrow T] [--only GROUP]... [--cases FILE]
 *
 * One line a case; exit status 1 when one fails, 2 when the service is not ready.
 */

import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { open } from "./holdfast.mjs";

const FIRST = 300; // milliseconds that a request is ahead of the steps that are made meanwhile
const JOBS = 4; // cases at once
const NOT_SENT = ["host"]; // header fields that fetch makes itself

class Failed extends Error {}

// --- what a case says ------------------------------------------------------------------------------------------------

/** The value with its variables replaced, in the keys of objects, too. */
function filled(value, variables) {
  if (Array.isArray(value)) return value.map((item) => filled(item, variables));
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map((pair) => pair.map((item) => filled(item, variables))));
  }
  if (typeof value !== "string") return value;
  const known = (name) => {
    if (!(name in variables)) throw new Failed(`there is no variable ${name}`);
    return variables[name];
  };
  const whole = /^\$\{(\w+)\}$/.exec(value);
  if (whole) return known(whole[1]);
  return value.replace(/\$\{(\w+)(\|url)?\}/g, (_, name, url) =>
    url ? encodeURIComponent(known(name)) : String(known(name)),
  );
}

/** The bytes of a body. */
function content(given) {
  if (typeof given === "string") return Buffer.from(given);
  if ("base64" in given) return Buffer.from(given.base64, "base64");
  if ("repeat" in given) return Buffer.from(given.repeat.repeat(given.times));
  if ("json" in given) return Buffer.from(JSON.stringify(given.json));
  throw new Failed(`no body: ${JSON.stringify(given)}`);
}

// --- how an answer differs -------------------------------------------------------------------------------------------

const TYPES = {
  string: (value) => typeof value === "string",
  integer: Number.isInteger,
  number: (value) => typeof value === "number",
  boolean: (value) => typeof value === "boolean",
  null: (value) => value === null,
  object: (value) => value !== null && typeof value === "object" && !Array.isArray(value),
  array: Array.isArray,
};
const show = (value) => String(JSON.stringify(value)).slice(0, 300);

function* unlike(wanted, found, where, exact) {
  const place = where || "the body";
  if (TYPES.object(wanted)) {
    const names = Object.keys(wanted);
    if (names.length === 1 && names[0].startsWith("$")) {
      yield* special(names[0], wanted[names[0]], found, place, exact);
      return;
    }
    if (TYPES.object(found)) {
      for (const [name, item] of Object.entries(wanted)) {
        const absent = TYPES.object(item) && item.$absent === true;
        if (absent !== !(name in found)) yield `${where}/${name} is ${show(found[name])}, expected ${absent ? "none" : "one"}`;
        else if (!absent) yield* unlike(item, found[name], `${where}/${name}`, exact);
      }
      const more = Object.keys(found).filter((name) => !(name in wanted));
      if (exact && more.length) yield `${place} has ${more.join(", ")}, which is not expected`;
      return;
    }
  } else if (Array.isArray(wanted) && Array.isArray(found)) {
    if (wanted.length !== found.length) yield `${place} has ${found.length} elements, expected ${wanted.length}: ${show(found)}`;
    for (let at = 0; at < Math.min(wanted.length, found.length); at++) yield* unlike(wanted[at], found[at], `${where}/${at}`, exact);
    return;
  }
  if (wanted !== found) yield `${place} is ${show(found)}, expected ${show(wanted)}`;
}

function* special(name, argument, found, place, exact) {
  const like = (wanted, value) => unlike(wanted, value, "", exact).next().done;
  if (name === "$type") {
    if (!TYPES[argument](found)) yield `${place} is ${show(found)}, expected a value of type ${argument}`;
  } else if (name === "$pattern") {
    if (typeof found !== "string" || !new RegExp(argument, "u").test(found)) yield `${place} is ${show(found)}, expected text like ${argument}`;
  } else if (name === "$not") {
    if (like(argument, found)) yield `${place} is ${show(found)}, expected another value`;
  } else if (name === "$has") {
    for (const item of argument) {
      if (!Array.isArray(found) || !found.some((each) => like(item, each))) yield `${place} has no element like ${show(item)}: ${show(found)}`;
    }
  } else yield `${place}: there is no expectation ${name}`;
}

function* differences(expected, reply) {
  if ("status" in expected && ![expected.status].flat().includes(reply.status)) {
    yield `status ${reply.status}, expected ${[expected.status].flat().join(" or ")}`;
  }
  for (const [name, wanted] of Object.entries(expected.headers ?? {})) {
    const found = reply.headers.get(name);
    const right =
      wanted === null ? found === null
      : typeof wanted === "string" ? found === wanted
      : found !== null && new RegExp(wanted.pattern, "u").test(found);
    if (!right) yield `header ${name}: ${show(found)}, expected ${show(wanted)}`;
  }
  if ("body" in expected) {
    const { body } = expected;
    if (typeof body === "object" && "pattern" in body) {
      if (!new RegExp(body.pattern, "u").test(reply.body.toString())) yield `body ${show(reply.body.toString())}, expected one like ${body.pattern}`;
    } else if (!content(body).equals(reply.body)) {
      yield `body of ${reply.body.length} bytes, expected ${content(body).length}`;
    }
  }
  if (!["code", "json", "json_exact"].some((name) => name in expected)) return;
  let value;
  try {
    value = JSON.parse(reply.body.toString());
  } catch {
    yield "the body is not JSON";
    return;
  }
  if ("code" in expected) yield* unlike({ error: { code: expected.code } }, value, "", false);
  if ("json" in expected) yield* unlike(expected.json, value, "", false);
  if ("json_exact" in expected) yield* unlike(expected.json_exact, value, "", true);
}

/** What is at a place of an answer. */
function lookup(where, reply) {
  if ("header" in where) return reply.headers.get(where.header) ?? undefined;
  let found = JSON.parse(reply.body.toString());
  for (const part of where.json.split("/").slice(1)) found = found?.[part.replaceAll("~1", "/").replaceAll("~0", "~")];
  return found;
}

// --- the run ---------------------------------------------------------------------------------------------------------

class Run {
  constructor(document, url, tokens) {
    this.document = document;
    this.tokens = tokens;
    this.stores = { nobody: open(url), main: open(url, { token: tokens.main }), narrow: open(url, { token: tokens.narrow }) };
    const at = (hours) => new Date(Date.now() + hours * 3600e3).toISOString().replace(/\.\d+/, "");
    this.variables = {
      run: `namespace:conformance-${randomBytes(6).toString("hex")}`,
      id: randomBytes(6).toString("hex"),
      authority: new URL(url).host,
      hour: at(1),
      past: at(-1),
    };
  }

  /** What a case needs and this run does not have. */
  missing(item) {
    const needs = item.needs ?? [];
    const own = needs.find((need) => (need === "no token" ? this.tokens.main !== undefined : this.tokens[need] === undefined));
    if (own !== undefined) return own;
    const steps = item.steps.flatMap((step) => [step, ...(step.meanwhile ?? [])]);
    const names = steps.flatMap((step) => Object.keys(step.headers ?? {}));
    const foreign = names.find((name) => NOT_SENT.includes(name.toLowerCase()));
    return foreign && `a header ${foreign}, which fetch does not send`;
  }

  /** Run a case: the line that tells how it went, and below it what is wrong. */
  async tell(item) {
    const lacks = this.missing(item);
    if (lacks !== undefined) return `-      ${item.name}: needs ${lacks}`;
    try {
      await this.steps(item.steps, item.name);
      return `ok     ${item.name}`;
    } catch (error) {
      return `FAILED ${item.name}: ${item.about}\n    ${error.message.replaceAll("\n", "\n    ")}`;
    }
  }

  async steps(steps, name = "") {
    const variables = { ...this.variables, scope: `${this.variables.run}/case:${name}` };
    for (const [number, step] of steps.entries()) {
      try {
        await this.step(step, variables);
      } catch (error) {
        throw new Failed(`step ${number + 1}, ${step.do}: ${error instanceof Failed ? error.message : error.stack}`);
      }
    }
  }

  async step(step, variables) {
    if (step.pause) await pause(step.pause * 1000);
    const asking = this.send(step, variables);
    if (step.meanwhile) {
      asking.catch(() => {}); // told below
      await pause(FIRST);
      for (const other of step.meanwhile) await this.step(other, variables);
    }
    const reply = await asking;
    if (reply === null) return;
    const expected = filled(step.expect ?? {}, variables);
    const every = [expected];
    if (expected.every ?? true) {
      every.push(this.document.every_answer);
      if (reply.status >= 400 && !step.do.startsWith("HEAD ")) every.push(this.document.every_error);
    }
    const found = every.flatMap((wanted) => [...differences(wanted, reply)]);
    if (found.length) throw new Failed([...found, `the answer: ${reply.status} ${show(reply.body.toString())}`].join("\n"));
    for (const [name, where] of Object.entries(step.remember ?? {})) {
      variables[name] = lookup(where, reply);
      if (variables[name] === undefined) throw new Failed(`nothing to remember as ${name} at ${JSON.stringify(where)}`);
    }
  }

  /** The answer to a step's request; null for one that is cut. */
  async send(step, variables) {
    const [method, path] = step.do.split(" ");
    const headers = {};
    for (const [name, value] of Object.entries(filled(step.headers ?? {}, variables))) {
      headers[name] = content(typeof value === "object" ? value : String(value)).toString("latin1");
    }
    const bytes = step.body === undefined ? undefined : content(filled(step.body, variables));
    const body = step.chunked ? inPieces(bytes, step.cut) : bytes;
    const hurry = new AbortController();
    const timer = setTimeout(() => hurry.abort(new Error("no answer in time")), (step.timeout ?? 30) * 1000);
    try {
      const request = { headers, body, signal: hurry.signal };
      const answer = await this.stores[step.as ?? "main"].request(method, filled(path, variables), request);
      return { status: answer.status, headers: answer.headers, body: await read(answer, filled(step.until, variables)) };
    } catch (error) {
      if (step.cut !== undefined) return null;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A body as a stream, so that it is sent in chunks; it breaks off after `cut` bytes. */
function inPieces(bytes, cut) {
  let sent = false;
  return new ReadableStream({
    async pull(controller) {
      if (!sent) {
        sent = true;
        controller.enqueue(new Uint8Array(bytes.subarray(0, cut)));
      } else if (cut === undefined) controller.close();
      else {
        await pause(100); // so that the first part is sent
        controller.error(new Error("cut off"));
      }
    },
  }, { highWaterMark: 0 });
}

/** The body of an answer, until it has this text in it. */
async function read(answer, until) {
  if (until === undefined) return Buffer.from(await answer.arrayBuffer());
  let body = Buffer.alloc(0);
  for await (const piece of answer.body) {
    body = Buffer.concat([body, piece]);
    if (body.includes(until)) break;
  }
  return body;
}

async function main() {
  const text = { type: "string" };
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { token: text, narrow: text, only: { type: "string", multiple: true }, cases: text },
  });
  if (positionals.length !== 1) throw new Error("usage: node conformance.mjs URL [--token T] [--narrow T] [--only NAME] [--cases FILE]");
  const file = values.cases ?? fileURLToPath(new URL("../../conformance/cases.json", import.meta.url));
  const document = JSON.parse(await readFile(file, "utf8"));
  const run = new Run(document, positionals[0], { main: values.token, narrow: values.narrow });
  const chosen = document.cases.filter((item) => !values.only || values.only.some((name) => [item.group, item.name].includes(name)));
  if (!chosen.length) throw new Error(`there is no group or case ${values.only}`);
  await run.steps(document.before);
  const lines = [];
  const waiting = chosen.entries();
  try {
    await Promise.all(Array.from({ length: JOBS }, async () => {
      for (const [at, item] of waiting) lines[at] = await run.tell(item);
    }));
  } finally {
    await run.steps(document.after);
  }
  for (const line of lines) console.log(line);
  const [passed, failed] = ["ok", "FAILED"].map((word) => lines.filter((line) => line.startsWith(word)).length);
  const left = chosen.length - passed - failed;
  console.log(`${passed} passed, ${failed} failed${left ? `, ${left} not run` : ""}`);
  return failed ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`conformance.mjs: ${error.message}`);
  process.exitCode = 2;
}
