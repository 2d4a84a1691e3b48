// Peer in Node, of the seed's shape: an HTTP server that answers at once, then runs one tool call
// after another in its own process and sends one POST, without packages. `node seed.mjs PORT PG_PORT SINK TOOLS`
//
// Node's own http stands for Express, a schema check by hand for Ajv, and the few messages of
// PostgreSQL's protocol below for pg and its pool of ten.
import { readFileSync, readdirSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { join } from "node:path";

const [port, pgPort, sink, toolsDir] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true });

const tools = new Map(
  readdirSync(toolsDir).map((name) => {
    const { parameters } = JSON.parse(readFileSync(join(toolsDir, name, "tool.json"), "utf8"));
    const names = [];
    const sql = readFileSync(join(toolsDir, name, "query.sql"), "utf8").replace(
      /%\((\w+)\)s/g,
      (_, wanted) => `$${names.includes(wanted) ? names.indexOf(wanted) + 1 : names.push(wanted)}`,
    );
    return [name, { parameters, sql, names, statement: `s_${name}` }];
  }),
);

function validate({ parameters }, values) {
  for (const name of parameters.required ?? [])
    if (!(name in values)) throw new Error(`${name} is missing`);
  for (const [name, value] of Object.entries(values)) {
    const rule = parameters.properties[name];
    if (!rule || typeof value !== rule.type) throw new Error(`${name} does not fit`);
    if (rule.pattern && !new RegExp(rule.pattern).test(value)) throw new Error(`${name} does not fit`);
    if (rule.enum && !rule.enum.includes(value)) throw new Error(`${name} does not fit`);
  }
}

const text = (value) => Buffer.from(`${value}\0`);
const int16 = (value) => Buffer.from([value >> 8, value & 255]);
const int32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
const message = (kind, ...parts) => {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(kind), int32(body.length + 4), body]);
};

// One connection to a server that trusts us; statements are prepared once, as pg does for a name.
class Connection {
  constructor() {
    this.prepared = new Set();
    this.held = Buffer.alloc(0);
    this.socket = net.connect(Number(pgPort), "127.0.0.1").setNoDelay();
    this.socket.on("data", (data) => this.receive(data));
    const hello = ["user", "postgres", "database", "postgres", ""].map(text);
    this.ready = this.answer();
    this.socket.write(message("", int32(196608), ...hello));
  }

  answer() {
    this.rows = [];
    return new Promise((resolve, reject) => Object.assign(this, { resolve, reject, error: null }));
  }

  async query(tool, values) {
    await this.ready;
    const answer = this.answer();
    const given = tool.names.map((name) => values[name] ?? null);
    const bound = given.map((value) => {
      if (value === null) return int32(-1);
      const bytes = Buffer.from(String(value));
      return Buffer.concat([int32(bytes.length), bytes]);
    });
    const parts = [];
    if (!this.prepared.has(tool.statement))
      parts.push(message("P", text(tool.statement), text(tool.sql), int16(0)));
    this.prepared.add(tool.statement);
    parts.push(message("B", text(""), text(tool.statement), int16(0), int16(bound.length), ...bound, int16(0)));
    parts.push(message("D", text("P")), message("E", text(""), int32(0)), message("S"));
    this.socket.write(Buffer.concat(parts));
    return answer;
  }

  receive(data) {
    this.held = Buffer.concat([this.held, data]);
    while (this.held.length > 4 && this.held.length > this.held.readInt32BE(1)) {
      const end = 1 + this.held.readInt32BE(1);
      this.take(String.fromCharCode(this.held[0]), this.held.subarray(5, end));
      this.held = this.held.subarray(end);
    }
  }

  take(kind, body) {
    if (kind === "T") this.columns = columns(body);
    if (kind === "D") this.rows.push(row(body, this.columns));
    if (kind === "E") this.error = new Error(body.toString().replaceAll("\0", " "));
    if (kind === "Z") this.error ? this.reject(this.error) : this.resolve(this.rows);
  }
}

function columns(body) {
  const found = [];
  for (let at = 2; found.length < body.readInt16BE(0); ) {
    const end = body.indexOf(0, at);
    const isNumber = [20, 21, 23].includes(body.readInt32BE(end + 7)); // int8, int2, int4
    found.push([body.toString("utf8", at, end), isNumber ? Number : String]);
    at = end + 19;
  }
  return found;
}

function row(body, names) {
  let at = 2;
  return Object.fromEntries(
    names.map(([name, read]) => {
      const length = body.readInt32BE(at);
      const begin = at + 4;
      at = begin + Math.max(0, length);
      return [name, length < 0 ? null : read(body.toString("utf8", begin, at))];
    }),
  );
}

const free = Array.from({ length: 10 }, () => new Connection());
const waiting = [];

async function ask(tool, values) {
  const connection = free.pop() ?? (await new Promise((resolve) => waiting.push(resolve)));
  try {
    return await connection.query(tool, values);
  } finally {
    const next = waiting.shift();
    next ? next(connection) : free.push(connection);
  }
}

async function execute({ run_id, tool_calls }) {
  const outputs = [];
  for (const { id, function: wanted } of tool_calls) {
    let output;
    try {
      const tool = tools.get(wanted.name);
      const values = JSON.parse(wanted.arguments);
      validate(tool, values);
      const items = await ask(tool, values);
      output = { items, total: items.length };
    } catch (error) {
      output = { error: error.message };
    }
    outputs.push({ tool_call_id: id, output: JSON.stringify(output) });
  }
  post(`/api/v2/ai/assistants/runs/${encodeURIComponent(run_id)}/tool_calls`, { tool_calls: outputs });
}

function post(path, body) {
  const bytes = Buffer.from(JSON.stringify(body));
  const headers = { "Content-Type": "application/json", "Content-Length": bytes.length };
  const request = http.request(sink + path, { method: "POST", agent, headers }, (answer) => answer.resume());
  request.end(bytes);
}

const server = http.createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    response.writeHead(202, { "Content-Type": "application/json" }).end('{"status":"accepted"}');
    execute(JSON.parse(Buffer.concat(parts).toString()));
  });
});
server.listen(Number(port), "127.0.0.1", () => console.log("listening"));
