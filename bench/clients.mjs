// Holds a running gateway to what frontends' own clients do: queries, mutations, and a subscription that breaks off and
// goes on where it was, over WebSockets and server-sent events.
// In a folder of its own: npm i graphql graphql-ws ws graphql-sse @apollo/client rxjs @urql/core graphql-request
// node clients.mjs http://127.0.0.1:8000/graphql TOKEN
import { ApolloClient, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { Client, cacheExchange, fetchExchange, subscriptionExchange } from "@urql/core";
import { GraphQLClient } from "graphql-request";
import { createClient as createSse } from "graphql-sse";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

const [url, token] = process.argv.slice(2);
const authorization = `Bearer ${token}`;
const headers = { authorization };
const sockets = url.replace(/^http/, "ws");
const EVENTS = `subscription Events($after: String) {
  happenings(types: ["goals.campaign.created"], after: $after) { cursor data campaign { id name state } } }`;
const CREATE = `mutation Create($input: CampaignCreateInput!) {
  createCampaign(input: $input) { campaign { id } errors { code message } } }`;
const CAMPAIGNS = "query Campaigns { campaigns(first: 3) { nodes { id name } } }";

const asking = new GraphQLClient(url, { headers });
let made = 0;
async function create() {
  const name = `clients ${process.pid} ${made++}`;
  const input = { name, slug: name.replaceAll(" ", "-"), channels: ["EMAIL"], territories: ["DE"],
    flight: { start: "2026-01-01", end: "2027-01-01" } };
  const { createCampaign } = await asking.request(CREATE, { input });
  if (createCampaign.errors?.length) throw new Error(JSON.stringify(createCampaign.errors));
  return name;
}

// Takes what is told, and lets a test wait for so much of it.
function gathering() {
  const names = [];
  let wake = () => {};
  return {
    names,
    take(data) { names.push(data.happenings.campaign.name); wake(); },
    async until(number) {
      const late = setTimeout(() => { throw new Error(`only ${names.length} of ${number} came`); }, 20_000);
      while (names.length < number) await new Promise((resolve) => { wake = resolve; });
      clearTimeout(late);
    },
  };
}

function same(found, wanted, what) {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) throw new Error(`${what}: ${found} is not ${wanted}`);
  console.log("ok", what);
}

// As docs/gateway.md has it. Its sockets are kept, so that they can be broken off.
function connecting() {
  const state = { after: undefined, socket: undefined, connected: 0 };
  state.client = createClient({
    url: sockets, webSocketImpl: WebSocket, connectionParams: async () => ({ authorization }),
    retryAttempts: Infinity, shouldRetry: () => true,
    on: { connected: (socket, payload) => {
      state.after ??= payload.cursor; state.socket = socket; state.connected += 1; state.ready?.(); } },
  });
  state.variables = { get after() { return state.after; } };
  state.opened = new Promise((resolve) => { state.ready = resolve; });
  return state;
}

const failed = (error) => { console.error(error); process.exit(1); };

async function graphqlWs() {
  const state = connecting(), got = gathering();
  state.client.subscribe({ query: EVENTS, variables: state.variables }, {
    next: ({ data }) => { state.after = data.happenings.cursor; got.take(data); }, error: failed, complete() {} });
  await state.opened;
  const names = [await create()];
  await got.until(1);
  state.socket.terminate(); // as a network that is gone
  names.push(await create(), await create());
  await got.until(3);
  same(got.names, names, `graphql-ws, connected ${state.connected} times`);
  const over = await new Promise((resolve, reject) => {
    let answer;
    state.client.subscribe({ query: CAMPAIGNS }, { next: (each) => { answer = each; }, error: reject, complete: () => resolve(answer) });
  });
  same(over.data.campaigns.nodes.length, 3, "graphql-ws, a query over the socket");
  await state.client.dispose();
}

async function apollo() {
  const state = connecting(), got = gathering();
  const live = new ApolloClient({ link: new GraphQLWsLink(state.client), cache: new InMemoryCache() });
  const plain = new ApolloClient({ link: new HttpLink({ uri: url, headers, fetch }), cache: new InMemoryCache() });
  same((await plain.query({ query: gql(CAMPAIGNS) })).data.campaigns.nodes.length, 3, "Apollo Client, a query");
  live.subscribe({ query: gql(EVENTS), variables: {} }).subscribe({
    next: ({ data, error }) => { if (error) failed(error); got.take(data); }, error: failed });
  await state.opened;
  await new Promise((resolve) => setTimeout(resolve, 300));
  const names = [await create()];
  await got.until(1);
  same(got.names, names, "Apollo Client, a subscription");
  live.stop();
  await state.client.dispose();
}

async function urql() {
  const state = connecting(), got = gathering();
  const client = new Client({
    url, preferGetMethod: false, fetchOptions: { headers },
    exchanges: [cacheExchange, fetchExchange, subscriptionExchange({
      forwardSubscription: (request) => ({
        subscribe: (sink) => ({ unsubscribe: state.client.subscribe({ ...request, query: request.query ?? "" }, sink) }),
      }),
    })],
  });
  same((await client.query(CAMPAIGNS, {}).toPromise()).data.campaigns.nodes.length, 3, "urql, a query");
  const { unsubscribe } = client.subscription(EVENTS, {}).subscribe(({ data, error }) => { if (error) failed(error); got.take(data); });
  await state.opened;
  await new Promise((resolve) => setTimeout(resolve, 300));
  const names = [await create()];
  await got.until(1);
  same(got.names, names, "urql, a subscription over a socket");
  unsubscribe();
  await state.client.dispose();
  const streams = new Client({ url, preferGetMethod: false, fetchSubscriptions: true, fetchOptions: { headers }, exchanges: [fetchExchange] });
  const more = gathering();
  const stream = streams.subscription(EVENTS, {}).subscribe(({ data, error }) => { if (error) failed(error); if (data) more.take(data); });
  await new Promise((resolve) => setTimeout(resolve, 500));
  const other = await create();
  await more.until(1);
  same(more.names, [other], "urql, a subscription by fetch");
  stream.unsubscribe();
}

async function graphqlSse() {
  const got = gathering();
  let after;
  const listen = (client) => client.subscribe({ query: EVENTS, variables: { after } }, {
    next: ({ data }) => { after = data.happenings.cursor; got.take(data); }, error: failed, complete() {} });
  const first = createSse({ url, headers });
  listen(first);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const names = [await create()];
  await got.until(1);
  first.dispose();
  names.push(await create());
  const second = createSse({ url, headers });
  listen(second);
  names.push(await create());
  await got.until(3);
  same(got.names, names, "graphql-sse, gone on after a break");
  second.dispose();
}

for (let each = 0; each < 3; each++) await create();
same((await asking.request(CAMPAIGNS)).campaigns.nodes.length, 3, "graphql-request, a query");
for (const client of [graphqlWs, apollo, urql, graphqlSse]) await client();
console.log("all of them");
process.exit(0);
