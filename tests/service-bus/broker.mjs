// A stand-in for Azure Service Bus, after its documentation: AMQP 1.0 over TLS from the first byte, SASL ANONYMOUS, tokens put
// on $cbs for each queue and refused links without one, queues with locks, delivery counts, dead letters and duplicate
// detection; and beside it the identity endpoint of App Service, which gives the tokens.
//
// It is our reading of Service Bus and no evidence of it. What it is good for: a client that these rules turn away would be
// turned away there too.
//
// node broker.mjs CERTIFICATE KEY. Events go to stdout, one JSON object a line; commands come from stdin, likewise; the end of
// stdin is its end.
import fs from 'node:fs';
import http from 'node:http';
import readline from 'node:readline';
import rhea from 'rhea';

const [certificate, key] = process.argv.slice(2);
const MAX_DELIVERIES = 10;
const tell = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

let lifetime = 3600; // of tokens, in seconds
let tokens = 0;
const valid = new Map(); // token -> when it expires
const identity = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://identity');
  if (request.headers['x-identity-header'] !== 'only this app knows it' || url.pathname !== '/msi/token') {
    response.writeHead(401).end();
    return;
  }
  const resource = url.searchParams.get('resource');
  const token = `token-${++tokens}-for-${resource}`;
  const expires = Math.floor(Date.now() / 1000) + lifetime;
  valid.set(token, expires * 1000);
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify({ access_token: token, expires_on: `${expires}`, resource, token_type: 'Bearer' }));
});

const queues = new Map();
const queue = (name) => {
  if (!queues.has(name)) queues.set(name, { messages: [], seen: new Set(), consumers: new Set() });
  return queues.get(name);
};
const container = rhea.create_container({ id: 'service-bus', sender_options: { treat_modified_as_released: false } });
container.sasl_server_mechanisms.enable_anonymous();

const pump = (name) => {
  const { messages, consumers } = queue(name);
  for (const consumer of consumers) {
    while (messages.length && consumer.sendable()) {
      const message = messages.shift();
      consumer.send({ ...message, delivery_count: message.deliveries })._message = message;
    }
  }
};
const put = (name, message) => {
  const { seen, messages } = queue(name);
  const duplicate = message.message_id !== undefined && seen.has(message.message_id);
  seen.add(message.message_id);
  if (!duplicate) messages.push({ ...message, deliveries: 0 });
  pump(name);
  return duplicate;
};
const may = (connection, name) => (connection.tokens?.get(name) ?? 0) > Date.now();
const turnAway = (link, claim, name) =>
  link.close({ condition: 'amqp:unauthorized-access', description: `Unauthorized access. '${claim}' claim(s) are required. Resource: '${name}'` });

const connections = new Set();
container.on('connection_open', ({ connection }) => {
  connection.tokens = new Map();
  connections.add(connection);
  tell({ connected: true });
});
const gone = ({ connection }) => {
  connections.delete(connection);
  for (const { consumers } of queues.values())
    for (const consumer of consumers) if (consumer.connection === connection) consumers.delete(consumer);
};
container.on('connection_close', gone);
container.on('disconnected', gone);
container.on('connection_error', () => {});
container.on('error', () => {});
container.on('receiver_open', ({ receiver, connection }) => {
  const name = receiver.target.address;
  receiver.set_target({ address: name });
  if (name !== '$cbs' && !may(connection, name)) turnAway(receiver, 'Send', name);
});
container.on('sender_open', ({ sender, connection }) => {
  const name = sender.source.address;
  sender.set_source({ address: name });
  if (name === '$cbs') connection.cbs = sender;
  else if (!may(connection, name)) turnAway(sender, 'Listen', name);
  else {
    sender.queue = name;
    queue(name).consumers.add(sender);
    pump(name);
  }
});
container.on('sendable', ({ sender }) => sender.queue && pump(sender.queue));
container.on('sender_close', ({ sender }) => sender.queue && queue(sender.queue).consumers.delete(sender));
container.on('message', ({ message, receiver, connection }) => {
  const name = receiver.target.address;
  if (name === '$cbs') {
    const asked = message.application_properties;
    const until = valid.get(message.body) ?? 0;
    const wellFormed = asked.operation === 'put-token' && asked.type === 'jwt' && /^amqps:\/\/[^/]+\//.test(asked.name);
    const forServiceBus = `${message.body}`.endsWith('https://servicebus.azure.net/') || `${message.body}`.endsWith('https://servicebus.azure.net');
    const ok = wellFormed && forServiceBus && until > Date.now();
    tell({ put_token: asked.name, ok });
    if (ok) connection.tokens.set(asked.name.split('/').slice(3).join('/'), until);
    connection.cbs.send({
      to: message.reply_to,
      correlation_id: message.message_id,
      application_properties: { 'status-code': rhea.types.wrap_int(ok ? 202 : 401), 'status-description': ok ? 'Accepted' : 'Unauthorized' },
      body: null,
    });
    return;
  }
  const text = message.body?.content?.toString() ?? `${message.body}`;
  const duplicate = put(name, message);
  tell({ queue: name, id: message.message_id, duplicate, durable: message.durable, properties: message.application_properties ?? {}, body: JSON.parse(text) });
});
const settled = (how) => ({ sender, delivery }) => {
  const message = delivery._message;
  if (!message || !sender.queue) return;
  const name = sender.queue;
  if (how === 'dead') {
    tell({ settled: 'dead_letter', queue: name, id: message.message_id });
    return;
  }
  message.deliveries += 1;
  const dead = message.deliveries >= MAX_DELIVERIES;
  tell({ settled: dead ? 'dead_letter' : 'abandoned', queue: name, id: message.message_id, deliveries: message.deliveries });
  if (!dead) {
    queue(name).messages.unshift(message);
    setImmediate(() => pump(name));
  }
};
container.on('released', settled('abandoned'));
container.on('modified', settled('abandoned'));
container.on('rejected', settled('dead'));
container.on('accepted', ({ sender, delivery }) => delivery._message && tell({ settled: 'completed', queue: sender.queue, id: delivery._message.message_id }));

const tls = { transport: 'tls', cert: fs.readFileSync(certificate), key: fs.readFileSync(key), host: '127.0.0.1' };
let listener;
const listen = (port) =>
  new Promise((ready) => {
    listener = container.listen({ ...tls, port });
    listener.on('listening', () => ready(listener.address().port));
  });

let port = await listen(0);
await new Promise((ready) => identity.listen(0, '127.0.0.1', ready));
tell({ port, identity: `http://127.0.0.1:${identity.address().port}/msi/token` });

for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  if (command.put) {
    const { queue: name, id, body, properties } = command.put;
    put(name, { message_id: id, application_properties: properties, body: rhea.message.data_section(Buffer.from(body)) });
  }
  if (command.lifetime) lifetime = command.lifetime;
  if (command.down) {
    listener.close();
    for (const connection of connections) connection.socket.destroy();
    for (const { consumers } of queues.values()) consumers.clear();
  }
  if (command.up) await listen(port);
  tell({ done: Object.keys(command)[0] });
}
process.exit(0);
