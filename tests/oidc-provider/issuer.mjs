// A real OpenID provider (oidc-provider) for the test suite, on loopback, on a free port.
//
// It is driven by lines on stdin, one JSON object each, and answers each with one line on stdout. It ends when stdin
// closes, so it cannot outlive the test process, however that dies.
//
//   {"do": "rotate"}               new keys sign from now on; the old ones stay published
//   {"do": "withdraw"}             only the newest keys stay published
//   {"do": "down"} {"do": "up"}    stop listening; listen again on the same port
//   {"do": "behave", "as": "..."}  how the next documents are answered, see `misbehave`
//   {"do": "fetches"}              how often discovery and keys were asked for
//   {"do": "sign", header, payload}  anything at all, signed with the current RS256 or ES256 key
//
// A token request may carry `shape`, JSON of {header, payload, without}: what the token says beside or instead of the
// provider's own claims, the way other issuers write theirs.
import { createSign, generateKeyPairSync, randomUUID } from 'node:crypto';
import http from 'node:http';
import readline from 'node:readline';

import Provider, { errors } from 'oidc-provider';

const AUDIENCES = ['api://portcullis', 'api://other'];
const CLIENTS = ['ops-console', 'ai-agent', 'release-pipeline', 'batch-job'];
const SIGN_IN = 'urn:portcullis:sign-in';

const keys = [];
const newKeys = () => {
  const id = randomUUID().slice(0, 8);
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  keys.unshift(
    { ...rsa.export({ format: 'jwk' }), kid: `rsa-${id}`, use: 'sig', alg: 'RS256' },
    { ...ec.export({ format: 'jwk' }), kid: `ec-${id}`, use: 'sig', alg: 'ES256' },
  );
  secrets.set(`rsa-${id}`, rsa).set(`ec-${id}`, ec);
};
const secrets = new Map();

const resourceServer = (ctx, audience) => {
  if (!AUDIENCES.includes(audience)) throw new errors.InvalidTarget();
  const ttl = Number(ctx.oidc.body.ttl ?? 300);
  return {
    scope: 'access',
    audience,
    accessTokenFormat: 'jwt',
    accessTokenTTL: ttl,
    jwt: { sign: { alg: ctx.oidc.body.alg ?? 'RS256' } },
  };
};

const provider = (issuer) => {
  const made = new Provider(issuer, {
    jwks: { keys },
    clients: CLIENTS.map((id) => ({
      client_id: id,
      client_secret: `${id}-secret`,
      grant_types: ['client_credentials', SIGN_IN],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_post',
    })),
    scopes: ['access'],
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, name: id }) }),
    formats: {
      customizers: {
        jwt: (ctx, _token, jwt) => {
          const { header = {}, payload = {}, without = [] } = JSON.parse(ctx.oidc.body.shape ?? '{}');
          jwt.header = header;
          Object.assign(jwt.payload, payload);
          for (const name of without) delete jwt.payload[name];
        },
      },
    },
    ttl: {
      AccessToken: (_ctx, token) => token.resourceServer.accessTokenTTL,
      ClientCredentials: (_ctx, token) => token.resourceServer.accessTokenTTL,
    },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => AUDIENCES[0],
        useGrantedResource: () => true,
        getResourceServerInfo: resourceServer,
      },
    },
  });
  // A person's sign-in without a browser: what an authorization code would have been exchanged for.
  const signIn = async (ctx) => {
    const { client, params } = ctx.oidc;
    const token = new made.AccessToken({ accountId: params.account, client, scope: 'access' });
    token.resourceServer = new made.ResourceServer(params.resource, resourceServer(ctx, params.resource));
    const access = await token.save();
    const identity = new made.IdToken({ sub: params.account, name: params.account }, { ctx });
    identity.scope = 'openid';
    identity.set('at_hash', access);
    ctx.body = { access_token: access, id_token: await identity.issue({ use: 'idtoken' }) };
  };
  made.registerGrantType(SIGN_IN, signIn, ['account', 'resource']);
  return made.callback();
};

let port = Number(process.argv[2] ?? 0);
let issuer;
let app;
let behaviour = 'well';
const fetches = { discovery: 0, keys: 0 };
const rebuild = () => { app = provider(issuer); };

const misbehave = (request, response) => {
  const isDiscovery = request.url.endsWith('/.well-known/openid-configuration');
  const isKeys = request.url === '/jwks';
  if (isDiscovery) fetches.discovery += 1;
  if (isKeys) fetches.keys += 1;
  const json = (body) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(body));
  };
  const elsewhere = request.url.startsWith('/elsewhere/');
  if (elsewhere) fetches.elsewhere = (fetches.elsewhere ?? 0) + 1;
  switch (behaviour) {
    case 'redirect':
      if (!isKeys) return false;
      response.writeHead(302, { location: `${issuer}/elsewhere/jwks` }).end();
      return true;
    case 'other-issuer':
      if (!isDiscovery) return false;
      json({ issuer: `${issuer}/`, jwks_uri: `${issuer}/jwks` });
      return true;
    case 'remote-keys':
      if (!isDiscovery) return false;
      json({ issuer, jwks_uri: 'http://192.0.2.1/jwks' });
      return true;
    case 'endless-keys': {
      if (!isKeys) return false;
      const more = () => { while (!response.destroyed && response.write('"'.padEnd(65536, 'x'))); };
      response.on('drain', more);
      more();
      return true;
    }
    case 'silence':
      return isDiscovery || isKeys;
    case 'error':
      if (isDiscovery || isKeys) { response.writeHead(500).end('{}'); return true; }
      return false;
    case 'no-keys':
      if (!isKeys) return false;
      json({ keys: [] });
      return true;
    default:
      return false;
  }
};

const server = http.createServer((request, response) => {
  if (!misbehave(request, response)) app(request, response);
});
const listen = () => new Promise((done) => { server.listen(port, '127.0.0.1', done); });
const close = () => new Promise((done) => { server.close(done); server.closeAllConnections(); });

const sign = ({ header, payload }) => {
  const kid = header.kid ?? keys.find((key) => key.alg === header.alg).kid;
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ kid, ...header })}.${part(payload)}`;
  const key = { key: secrets.get(kid), dsaEncoding: 'ieee-p1363' };
  return `${signed}.${createSign('sha256').update(signed).sign(key, 'base64url')}`;
};

const commands = {
  rotate: () => { newKeys(); rebuild(); return {}; },
  withdraw: () => { keys.splice(2); rebuild(); return {}; },
  down: async () => { await close(); return {}; },
  up: async () => { await listen(); return {}; },
  behave: ({ as }) => { behaviour = as; return {}; },
  fetches: () => fetches,
  sign: (what) => ({ token: sign(what) }),
};

newKeys();
await listen();
port = server.address().port;
issuer = `http://127.0.0.1:${port}`;
rebuild();
console.log(JSON.stringify({ issuer }));

const lines = readline.createInterface({ input: process.stdin });
lines.on('close', () => process.exit(0));
for await (const line of lines) {
  const command = JSON.parse(line);
  console.log(JSON.stringify(await commands[command.do](command)));
}
