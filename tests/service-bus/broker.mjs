// A stand-in for Azure Service Bus, after its documentation: AMQP 1.0 over TLS from the first byte, SASL ANONYMOUS, tokens put
// on $cbs for each queue and refused links without one, queues with locks, delivery counts, dead letters and duplicate
// detection, sessions that one receiver at a time has the lock on and renews it at the queue's $management; and beside it the
// identity endpoint of App Service, which gives the tokens.
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

// Queues that require sessions; how long a lock on one lasts, in milliseconds.
const sessionful = new Set(['approval-decisions']);
let lockDuration = 60_000;
// How long a receiver waits for a session at most, whatever it asked for.
let patience = 60_000;
const FILTER = 'com.microsoft:session-filter';
// queue -> session -> { sender, until, timer }
const locks = new Map([...sessionful].map((name) => [name, new Map()]));
// Receivers that wait for a session to have messages: { queue, sender, timer }
let waiting = [];

const unlock = (name, session, why) => {
  const lock = locks.get(name)?.get(session);
  if (!lock) return;
  clearTimeout(lock.timer);
  locks.get(name).delete(session);
  tell({ unlocked: session });
  // What was delivered under it and not settled is there again, once more delivered in vain.
  for (const message of queue(name).messages) {
    if (message.session !== session || !message.out) continue;
    message.out = false;
    message.deliveries += 1;
  }
  if (why) {
    tell({ lock_lost: session });
    lock.sender.close({ condition: 'com.microsoft:session-lock-lost', description: why });
  }
  offer(name);
};
const lockUntil = (name, session) => {
  const lock = locks.get(name).get(session);
  clearTimeout(lock.timer);
  lock.until = Date.now() + lockDuration;
  lock.timer = setTimeout(() => unlock(name, session, 'The session lock has expired.'), lockDuration);
  return lock.until;
};
// Gives the first session that has messages and is nobody's to whoever waits longest.
const offer = (name) => {
  for (const receiver of waiting.filter((one) => one.queue === name)) {
    const free = queue(name).messages.find(({ session }) => !locks.get(name).has(session));
    if (!free) return;
    waiting = waiting.filter((one) => one !== receiver);
    clearTimeout(receiver.timer);
    const { sender } = receiver;
    locks.get(name).set(free.session, { sender });
    lockUntil(name, free.session);
    sender.queue = name;
    sender.lockedSession = free.session;
    sender.set_source({ address: name, filter: { [FILTER]: free.session } });
    sender.open();
    tell({ locked: free.session });
    pump(name);
  }
};
const accept = (sender, name) => {
  const filter = sender.source.filter ?? {};
  if (!(FILTER in filter)) {
    sender.close({ condition: 'amqp:not-allowed', description: 'It is not possible for an entity that requires sessions to create a non-sessionful message receiver.' });
    return;
  }
  // Answered when there is a session to give: the library had opened it already.
  sender.state.local_open = false;
  sender.state.open_requests = 0;
  const asked = sender.remote.attach.properties?.['com.microsoft:timeout'] ?? 60_000;
  const receiver = { queue: name, sender };
  receiver.timer = setTimeout(() => {
    waiting = waiting.filter((one) => one !== receiver);
    // A link that is refused has no source (AMQP 1.0, 2.6.3), and is closed for a reason.
    sender.local.attach.source = undefined;
    sender.open();
    sender.close({ condition: 'com.microsoft:timeout', description: 'The timeout elapsed upon attempting to accept a session.' });
  }, Math.min(asked, patience));
  waiting.push(receiver);
  offer(name);
};

// How far this machine's clock is behind the broker's, in milliseconds.
let ahead = 0;
const queues = new Map();
const queue = (name) => {
  if (!queues.has(name)) queues.set(name, { messages: [], seen: new Set(), consumers: new Set() });
  return queues.get(name);
};
let withheld = false; // acknowledgements of messages
const container = rhea.create_container({ id: 'service-bus', sender_options: { treat_modified_as_released: false }, receiver_options: { autoaccept: false } });
container.sasl_server_mechanisms.enable_anonymous();

const pump = (name) => {
  const { messages, consumers } = queue(name);
  if (sessionful.has(name)) {
    for (const [session, { sender }] of locks.get(name)) {
      // In order: the next one when the one before is settled.
      const message = messages.find((one) => one.session === session);
      if (!message || message.out || !sender.sendable()) continue;
      message.out = true;
      sender.send({ ...message, delivery_count: message.deliveries })._message = message;
    }
    return;
  }
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
  // The broker's word, whatever the sender's was.
  const annotations = { ...message.message_annotations, 'x-opt-enqueued-time': rhea.types.wrap_timestamp(Date.now() + ahead) };
  if (!duplicate) messages.push({ ...message, message_annotations: annotations, session: message.group_id, deliveries: 0 });
  pump(name);
  if (sessionful.has(name)) offer(name);
  return duplicate;
};
const may = (connection, name) => (connection.tokens?.get(name) ?? 0) > Date.now();
const turnAway = (link, claim, name) =>
  link.close({ condition: 'amqp:unauthorized-access', description: `Unauthorized access. '${claim}' claim(s) are required. Resource: '${name}'` });

const connections = new Set();
container.on('connection_open', ({ connection }) => {
  connection.tokens = new Map();
  connection.replies = new Map();
  connections.add(connection);
  tell({ connected: true });
});
const gone = ({ connection }) => {
  connections.delete(connection);
  for (const { consumers } of queues.values())
    for (const consumer of consumers) if (consumer.connection === connection) consumers.delete(consumer);
  waiting = waiting.filter(({ sender }) => sender.connection !== connection);
  for (const [name, held] of locks)
    for (const [session, { sender }] of held) if (sender.connection === connection) unlock(name, session);
};
container.on('connection_close', gone);
container.on('disconnected', gone);
container.on('connection_error', () => {});
container.on('error', () => {});
container.on('receiver_open', ({ receiver, connection }) => {
  const name = receiver.target.address;
  receiver.set_target({ address: name });
  const needs = name.replace(/\/\$management$/, '');
  if (name !== '$cbs' && !may(connection, needs)) turnAway(receiver, needs === name ? 'Send' : 'Listen', name);
});
container.on('sender_open', ({ sender, connection }) => {
  const name = sender.source.address;
  sender.set_source({ address: name });
  // Answers to requests go to the link that whoever asked has for them.
  if (name === '$cbs' || name.endsWith('/$management')) connection.replies.set(sender.target.address, sender);
  else if (!may(connection, name)) turnAway(sender, 'Listen', name);
  else if (sessionful.has(name)) accept(sender, name);
  else {
    sender.queue = name;
    queue(name).consumers.add(sender);
    pump(name);
  }
});
container.on('sendable', ({ sender }) => sender.queue && pump(sender.queue));
container.on('sender_close', ({ sender }) => {
  if (!sender.queue) return;
  queue(sender.queue).consumers.delete(sender);
  if (locks.get(sender.queue)?.get(sender.lockedSession)?.sender === sender) unlock(sender.queue, sender.lockedSession);
});
container.on('message', ({ message, receiver, connection, delivery }) => {
  const name = receiver.target.address;
  if (name === '$cbs' || name.endsWith('/$management')) delivery.accept();
  if (name === '$cbs') {
    const asked = message.application_properties;
    const until = valid.get(message.body) ?? 0;
    const wellFormed = asked.operation === 'put-token' && asked.type === 'jwt' && /^amqps:\/\/[^/]+\//.test(asked.name);
    const forServiceBus = `${message.body}`.endsWith('https://servicebus.azure.net/') || `${message.body}`.endsWith('https://servicebus.azure.net');
    const ok = wellFormed && forServiceBus && until > Date.now();
    tell({ put_token: asked.name, ok });
    if (ok) connection.tokens.set(asked.name.split('/').slice(3).join('/'), until);
    connection.replies.get(message.reply_to).send({
      to: message.reply_to,
      correlation_id: message.message_id,
      application_properties: { 'status-code': rhea.types.wrap_int(ok ? 202 : 401), 'status-description': ok ? 'Accepted' : 'Unauthorized' },
      body: null,
    });
    return;
  }
  if (name.endsWith('/$management')) {
    const queueName = name.replace('/$management', '');
    const session = message.body?.['session-id'];
    const asked = message.application_properties ?? {};
    const holder = locks.get(queueName)?.get(session)?.sender;
    // Renewed by whoever has it, on the connection and for the link that have it, and by nobody else.
    const held =
      asked.operation === 'com.microsoft:renew-session-lock' && holder?.connection === connection && holder.name === asked['associated-link-name'];
    tell({ renewed: session, ok: held });
    connection.replies.get(message.reply_to).send({
      to: message.reply_to,
      correlation_id: message.message_id,
      application_properties: { statusCode: rhea.types.wrap_int(held ? 200 : 410), statusDescription: held ? 'OK' : 'The session lock was lost.' },
      body: held ? { expiration: rhea.types.wrap_timestamp(lockUntil(queueName, session)) } : {},
    });
    return;
  }
  const text = message.body?.content?.toString() ?? `${message.body}`;
  const duplicate = put(name, message);
  // Taken, and whoever sent it never hears of it.
  if (!withheld) delivery.accept();
  tell({ queue: name, id: message.message_id, duplicate, durable: message.durable, properties: message.application_properties ?? {}, body: JSON.parse(text) });
});
const settled = (how) => ({ sender, delivery }) => {
  const message = delivery._message;
  if (!message || !sender.queue) return;
  const name = sender.queue;
  const { messages } = queue(name);
  const inSession = sessionful.has(name);
  if (inSession && locks.get(name).get(message.session)?.sender !== sender) return tell({ settled: 'too_late', queue: name, id: message.message_id });
  const out = () => inSession && messages.splice(messages.indexOf(message), 1);
  const { error } = delivery.remote_state ?? {};
  if (how === 'completed' || how === 'dead_letter') {
    out();
    tell({ settled: how, queue: name, id: message.message_id, ...(error && { condition: error.condition, info: error.info }) });
  } else {
    message.deliveries += 1;
    message.out = false;
    const dead = message.deliveries >= MAX_DELIVERIES;
    if (dead) out();
    else if (!inSession) messages.unshift(message);
    tell({ settled: dead ? 'dead_letter' : 'abandoned', queue: name, id: message.message_id, deliveries: message.deliveries });
  }
  setImmediate(() => pump(name));
};
container.on('released', settled('abandoned'));
container.on('modified', settled('abandoned'));
container.on('rejected', settled('dead_letter'));
container.on('accepted', settled('completed'));

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
    const { queue: name, id, body, properties, session } = command.put;
    put(name, { message_id: id, group_id: session, application_properties: properties, body: rhea.message.data_section(Buffer.from(body)) });
  }
  if (command.lifetime) lifetime = command.lifetime;
  if (command.lock) lockDuration = command.lock;
  if (command.ahead) ahead = command.ahead;
  if (command.patience) patience = command.patience;
  if (command.lose) unlock(command.lose.queue, command.lose.session, 'The session lock was lost.');
  if (command.withhold !== undefined) withheld = command.withhold;
  if (command.down) {
    listener.close();
    for (const connection of connections) connection.socket.destroy();
    for (const { consumers } of queues.values()) consumers.clear();
    for (const [name, held] of locks) for (const session of [...held.keys()]) unlock(name, session);
    waiting = [];
  }
  if (command.up) await listen(port);
  tell({ done: Object.keys(command)[0] });
}
process.exit(0);
