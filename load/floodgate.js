// What the k6 scripts have in common: a user, a public collection with a hundred records, and the two kinds of requests.
import { check, sleep } from 'k6';
import http from 'k6/http';

const API = `${__ENV.BASE_URL || 'http://localhost:3000'}/api/v1`;
const RECORDS = 100;
/** 429 and 503 are what limits are for; k6 counts every other 4xx and 5xx as failed. */
http.setResponseCallback(http.expectedStatuses({ min: 200, max: 399 }, 429, 503));

/** VUS callers at once, for DURATION: `k6 run -e VUS=100 -e DURATION=1m load/mix.js` */
export const options = {
  vus: Number(__ENV.VUS || 20),
  duration: __ENV.DURATION || '10s',
  thresholds: { http_req_failed: ['rate==0'], checks: ['rate==1'] },
  summaryTrendStats: ['avg', 'med', 'p(95)', 'p(99)', 'max'],
};

function must(status, response) {
  if (response.status === status) return response;
  throw new Error(
    `${response.request.method} ${response.request.url} was answered ${response.status}: ${response.body}`,
  );
}

const headersOf = (token, type = 'application/json') => ({
  headers: { 'content-type': type, ...(token ? { authorization: `Bearer ${token}` } : {}) },
});

/** Runs once, before the load. @returns what each caller gets */
export function setup() {
  const name = `load-${Date.now().toString(36)}`;
  const user = JSON.stringify({ email: `${name}@example.com`, password: `correct-horse-${name}`, name: 'Load' });
  must(201, http.post(`${API}/auth/register`, user, headersOf()));
  const token = must(200, http.post(`${API}/auth/login`, user.replace(',"name":"Load"', ''), headersOf())).json(
    'accessToken',
  );
  const collection = `${API}/data/${name}`;
  must(201, http.put(collection, '{"visibility":"public"}', headersOf(token)));
  const records = `${collection}/records`;
  const lines = '{"data":{"from":"k6","n":0}}\n'.repeat(RECORDS);
  must(200, http.post(`${records}/bulk`, lines, headersOf(token, 'application/x-ndjson')));
  const ids = must(200, http.get(`${records}?limit=${RECORDS}`)).json('items.#.id');
  return { collection, records, ids, token };
}

/** Removes the collection. The load may have used up its owner's limit, so this tries again. */
export function teardown({ collection, token }) {
  const headers = { authorization: `Bearer ${token}`, 'if-match': '*' };
  for (let tries = 0; tries < 10; tries++) {
    if (http.del(collection, null, { headers }).status === 204) return;
    sleep(1);
  }
}

/** Reads one record, and now and then a list. */
export function read({ records, ids }) {
  const at = Math.floor(Math.random() * ids.length * 1.1);
  const url = at < ids.length ? `${records}/${ids[at]}` : `${records}?limit=20`;
  expectAnswer(http.get(url, { tags: { name: at < ids.length ? 'record' : 'list' } }), 200);
}

/** Creates a record. */
export function write({ records, token }) {
  const parameters = { ...headersOf(token), tags: { name: 'create' } };
  expectAnswer(http.post(records, '{"data":{"from":"k6","n":1}}', parameters), 201);
}

function expectAnswer(response, status) {
  check(response, {
    'is answered well, or says when to come back': ({ status: given, headers }) =>
      given === status || ((given === 429 || given === 503) && Number(headers['Retry-After']) > 0),
  });
}
