// A stand-in for Azure Key Vault: what its REST reference (7.4) says of keys and secrets, over TLS, with RSA keys that really wrap.
// It is no evidence of Key Vault beyond that: tests/key_vault.rs runs its first test against a real one where it is told of one.
//
//   node vault.mjs CERTIFICATE KEY TOKEN
//
// Prints {"port": N}, then what it was asked, one JSON a line. Reads commands, one JSON a line, and answers each with {"done": NAME}:
// rotate NAME · disable [NAME, VERSION] · secret {name, value} · forbid BOOLEAN · fault {status, times} (0: no answer; 200: none).
// Ends when its stdin closes.
import { constants, createPublicKey, generateKeyPairSync, privateDecrypt, publicEncrypt, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';

const [certificate, key, token] = process.argv.slice(2);
const print = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const keys = {};
const secrets = {};
const faults = [];
let forbidden = false;
let base;

const rotate = (name) => {
  const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
  (keys[name] ||= []).push({ version: randomBytes(16).toString('hex'), enabled: true, ...pair });
};
rotate('sealing');

const commands = {
  rotate,
  disable: ([name, number]) => { keys[name][number - 1].enabled = false; },
  secret: ({ name, value }) => { secrets[name] = value; },
  forbid: (forbids) => { forbidden = forbids; },
  fault: ({ status, times }) => faults.push(...Array(times).fill(status)),
};

const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (request, response) => {
  let body = '';
  request.on('data', (part) => { body += part; });
  request.on('end', () => {
    const url = new URL(request.url, base);
    const say = (status, value, headers = {}) => {
      response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers });
      response.end(JSON.stringify(value));
    };
    const refuse = (status, code, message, inner, headers) =>
      say(status, { error: { code, message, ...(inner && { innererror: { code: inner } }) } }, headers);
    print({ asked: `${request.method} ${url.pathname}` });
    if (faults.length) {
      const status = faults.shift();
      if (status && status !== 200) refuse(status, status === 429 ? 'Throttled' : 'ServiceUnavailable', 'Request was not processed.');
      if (status !== 200) return;
    }
    // Nobody is let in without a token for this service, and is told where to get one.
    if (request.headers.authorization !== `Bearer ${token}`) {
      return refuse(401, 'Unauthorized', 'AKV10000: Request is missing a Bearer or PoP token.', undefined, {
        'www-authenticate': 'Bearer authorization="https://login.microsoftonline.com/7e9a3b52-0000-4000-8000-000000000000", resource="https://vault.azure.net"',
      });
    }
    const version = url.searchParams.get('api-version');
    if (!version) return refuse(400, 'BadParameter', `Method ${request.method} requires an api-version parameter.`);
    if (!['7.4', '7.5', '7.6'].includes(version)) return refuse(400, 'BadParameter', `The specified version (${version}) is not recognized.`);
    if (forbidden) {
      return refuse(403, 'Forbidden', 'Caller is not authorized to perform action on resource.\r\nCaller: appid=…', 'ForbiddenByRbac');
    }
    const [, kind, name, wanted, operation] = url.pathname.split('/');
    if (kind === 'secrets' && request.method === 'GET' && wanted === undefined) {
      if (!(name in secrets)) {
        return refuse(404, 'SecretNotFound', `A secret with (name/id) ${name} was not found in this key vault.`);
      }
      return say(200, { value: secrets[name], id: `${base}secrets/${name}/${'0'.repeat(32)}`, attributes: { enabled: true } });
    }
    const found = kind === 'keys' && keys[name]
      && (wanted ? keys[name].find((each) => each.version === wanted) : keys[name].at(-1));
    if (!found) return refuse(404, 'KeyNotFound', `A key with (name/id) ${name}/${wanted ?? ''} was not found in this key vault.`);
    const kid = `${base}keys/${name}/${found.version}`;
    if (request.method === 'GET' && operation === undefined) {
      const { n, e } = createPublicKey(found.privateKey).export({ format: 'jwk' });
      const created = 1767225600;
      return say(200, {
        key: { kid, kty: 'RSA-HSM', key_ops: ['wrapKey', 'unwrapKey'], n, e },
        attributes: { enabled: found.enabled, created, updated: created, recoveryLevel: 'Recoverable' },
      });
    }
    const padding = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' };
    const operations = {
      wrapkey: (value) => publicEncrypt({ key: found.publicKey, ...padding }, value),
      unwrapkey: (value) => privateDecrypt({ key: found.privateKey, ...padding }, value),
    };
    if (request.method !== 'POST' || !(operation in operations)) {
      return refuse(403, 'Forbidden', `Operation ${operation} is not permitted on this key.`);
    }
    if (!found.enabled) {
      return refuse(403, 'Forbidden', `Operation ${operation} is not allowed on a disabled key.`, 'KeyDisabled');
    }
    const { alg, value } = JSON.parse(body);
    if (alg !== 'RSA-OAEP-256') return refuse(400, 'BadParameter', `Algorithm ${alg} is not supported by this stand-in.`);
    try {
      say(200, { kid, value: operations[operation](Buffer.from(value, 'base64url')).toString('base64url') });
    } catch {
      refuse(400, 'BadParameter', 'The parameter is incorrect.');
    }
  });
});

server.listen(0, '127.0.0.1', () => {
  base = `https://localhost:${server.address().port}/`;
  print({ port: server.address().port });
});
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const [[name, value]] = Object.entries(JSON.parse(line));
    commands[name](value);
    print({ done: name });
  })
  .on('close', () => process.exit(0));
