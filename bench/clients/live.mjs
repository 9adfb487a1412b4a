// Holds a running gateway to what frontends' own clients do: queries, mutations, and a subscription that outlives the
// gateway. It is killed in the middle, and goes on: what happened meanwhile comes once each, in order, over WebSockets
// and server-sent events.
// In a copy of this folder: npm i; node live.mjs http://127.0.0.1:8000/graphql TOKEN http://127.0.0.1:8001 .mops/run/gateway.pid
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { ApolloClient, HttpLink, InMemoryCache, gql } from "@apollo/client/core";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { Client, cacheExchange, fetchExchange, subscriptionExchange } from "@urql/core";
import { GraphQLClient } from "graphql-request";
import { createClient as createSse } from "graphql-sse";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url, token, goals, pidFile] = process.argv.slice(2);
const headers = { authorization: `Bearer ${token}` };
const EVENTS = `subscription Events($after: String) {
  happenings(types: ["goals.campaign.created"], after: $after) { cursor data campaign { id name state } } }`;
const CREATE = `mutation Create($input: CampaignCreateInput!) {
  createCampaign(input: $input) { campaign { id } errors { code message } } }`;
const KNOWN = "query Known($subjects: [String!]) { happenings(subject: $subjects) { nodes { id } } }";
const CAMPAIGNS = "query Campaigns { campaigns(first: 3) { nodes { id name } } }";

const asking = new GraphQLClient(url, { headers });
const failed = (error) => { console.error(error); process.exit(1); };

// --- what happens ---------------------------------------------------------------------------------------------------

let named = 0;
function campaign() {
  const name = `clients ${process.pid} ${named++}`;
  return { name, slug: name.replaceAll(" ", "-"), territories: ["DE"], flight: { start: "2026-01-01", end: "2027-01-01" } };
}

async function create() {
  const input = { ...campaign(), channels: ["EMAIL"] };
  const { createCampaign } = await asking.request(CREATE, { input });
  assert.deepEqual(createCampaign.errors, []);
  return { id: createCampaign.campaign.id, name: input.name };
}

// Past the gateway, which needn't be there.
async function createAside() {
  const body = { ...campaign(), channels: ["email"] };
  const sent = { method: "POST", headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(`${goals}/v1/campaigns`, sent);
  assert.equal(answer.status, 201);
  return answer.json();
}

// Whoever started it starts it again.
const killGateway = () => process.kill(Number(readFileSync(pidFile, "utf8")), "SIGKILL");

// The gateway is there again, and has heard of these.
async function untilItKnows(campaigns) {
  const subjects = campaigns.map(({ id }) => id);
  for (;;) {
    const known = await asking.request(KNOWN, { subjects }).catch(() => undefined);
    if (known?.happenings.nodes.length === subjects.length) return;
    await pause(100);
  }
}

// What the clients wait for before they come back.
let back = Promise.resolve();
async function untilLetBack() {
  await back;
  await pause(100);
}

// --- subscriptions that go on ---------------------------------------------------------------------------------------

// Variables that are written anew whenever a client subscribes again: `after` the last cursor that came, or at first
// the one that the connection began with. As docs/gateway.md has it; it fits any client that graphql-ws or graphql-sse
// is behind, such as Apollo's and urql's.
function goingOn(client, began = () => undefined) {
  return {
    ...client,
    subscribe(payload, sink) {
      let last;
      const variables = { ...payload.variables, get after() { return last ?? began(); } };
      return client.subscribe({ ...payload, variables }, {
        next(result) {
          last = result.data?.happenings?.cursor ?? last;
          sink.next(result);
        },
        error: (problem) => sink.error(problem),
        complete: () => sink.complete(),
      });
    },
  };
}

function overSockets() {
  let cursor, ready;
  const opened = new Promise((resolve) => { ready = resolve; });
  const client = createClient({
    url: url.replace(/^http/, "ws"), webSocketImpl: WebSocket, connectionParams: async () => headers, lazy: false,
    retryAttempts: Infinity, shouldRetry: () => true, retryWait: untilLetBack,
    on: { connected: (socket, payload) => { cursor ??= payload.cursor; ready(); } },
  });
  return { opened, client: goingOn(client, () => cursor) };
}

// Two events, a death, two that nobody is told of, and one after the clients are back: all five, in order, once each.
async function lives(what, listen) {
  const got = [], first = named;
  let wake = () => {};
  const end = await listen(({ campaign: { name } }) => {
    if (Number(name.split(" ").at(-1)) < first) return; // of the ones before, which was still on its way
    got.push(name);
    wake();
  });
  const until = async (number) => {
    const late = setTimeout(() => failed(new Error(`${what}: only ${got} of ${number} came`)), 30_000);
    while (got.length < number) await new Promise((resolve) => { wake = resolve; });
    clearTimeout(late);
  };
  const made = [await create(), await create()];
  await until(2);
  let letBack;
  back = new Promise((resolve) => { letBack = resolve; });
  killGateway();
  made.push(await createAside(), await createAside());
  await untilItKnows(made);
  letBack();
  made.push(await create());
  await until(5);
  await pause(300); // for what would come twice
  assert.deepEqual(got, made.map(({ name }) => name), what);
  console.log("ok", what);
  await end();
}

// --- the clients ----------------------------------------------------------------------------------------------------

async function graphqlWs() {
  const { opened, client } = overSockets();
  await lives("graphql-ws", async (take) => {
    client.subscribe({ query: EVENTS }, { next: ({ data }) => take(data.happenings), error: failed, complete() {} });
    await opened;
    return () => {};
  });
  const over = await new Promise((resolve, reject) => {
    let answer;
    client.subscribe({ query: CAMPAIGNS }, { next: (each) => { answer = each; }, error: reject, complete: () => resolve(answer) });
  });
  assert.equal(over.data.campaigns.nodes.length, 3);
  await client.dispose();
}

async function apollo() {
  const { opened, client } = overSockets();
  const plain = new ApolloClient({ link: new HttpLink({ uri: url, headers }), cache: new InMemoryCache() });
  assert.equal((await plain.query({ query: gql(CAMPAIGNS) })).data.campaigns.nodes.length, 3);
  const live = new ApolloClient({ link: new GraphQLWsLink(client), cache: new InMemoryCache() });
  await lives("Apollo Client", async (take) => {
    const told = live.subscribe({ query: gql(EVENTS), fetchPolicy: "no-cache" });
    const listening = told.subscribe({ next: ({ data, error }) => (error ? failed(error) : take(data.happenings)), error: failed });
    await opened;
    return () => listening.unsubscribe();
  });
  live.stop();
  await client.dispose();
}

async function urql() {
  const { opened, client } = overSockets();
  const forwardSubscription = (request) => ({
    subscribe: (sink) => ({ unsubscribe: client.subscribe({ ...request, query: request.query ?? "" }, sink) }),
  });
  const exchanges = [cacheExchange, fetchExchange, subscriptionExchange({ forwardSubscription })];
  const live = new Client({ url, preferGetMethod: false, fetchOptions: { headers }, exchanges });
  assert.equal((await live.query(CAMPAIGNS, {}).toPromise()).data.campaigns.nodes.length, 3);
  await lives("urql", async (take) => {
    const told = live.subscription(EVENTS, {});
    const { unsubscribe } = told.subscribe(({ data, error }) => (error ? failed(error) : take(data.happenings)));
    await opened;
    return unsubscribe;
  });
  await client.dispose();
}

// urql's own way to server-sent events ends with the connection: its page subscribes again.
async function urqlByFetch() {
  const live = new Client({ url, preferGetMethod: false, fetchSubscriptions: true, fetchOptions: { headers }, exchanges: [fetchExchange] });
  await lives("urql by fetch", async (take) => {
    let after, ending = false, listening;
    const listen = () => {
      listening = live.subscription(EVENTS, { after }).subscribe(({ data, error }) => {
        if (data) {
          after = data.happenings.cursor;
          take(data.happenings);
        }
        if (error && !ending) untilLetBack().then(listen);
      });
    };
    listen();
    await pause(500); // a stream says nothing before something happens
    return () => { ending = true; listening.unsubscribe(); };
  });
}

async function graphqlSse() {
  const sse = createSse({ url, headers, retryAttempts: Infinity, retry: untilLetBack });
  const client = goingOn(sse);
  await lives("graphql-sse", async (take) => {
    client.subscribe({ query: EVENTS }, { next: ({ data }) => take(data.happenings), error: failed, complete() {} });
    await pause(500); // as above
    return () => {};
  });
  sse.dispose();
}

for (let each = 0; each < 3; each++) await create();
assert.equal((await asking.request(CAMPAIGNS)).campaigns.nodes.length, 3);
console.log("ok graphql-request");
for (const client of [graphqlWs, apollo, urql, urqlByFetch, graphqlSse]) await client();
process.exit(0);
