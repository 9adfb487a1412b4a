// Tells one story to a running gateway by the clients that frontends use: Apollo Client, urql and graphql-request.
// graphql-codegen types its documents from gateway/schema.graphql, and tsc refuses what the graph doesn't have.
// In a copy of this folder: npm i; SCHEMA=/path/to/gateway/schema.graphql npm run -s story -- http://127.0.0.1:8000/graphql TOKEN
import assert from "node:assert/strict";
import { ApolloClient, CombinedGraphQLErrors, HttpLink, InMemoryCache } from "@apollo/client/core";
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { cacheExchange, createClient, fetchExchange } from "@urql/core";
import { ClientError, GraphQLClient } from "graphql-request";
import { graphql } from "./generated/gql.js";

const [url, token] = process.argv.slice(2);
const headers = { authorization: `Bearer ${token}` };

const CREATE_CAMPAIGN = graphql(`
  mutation CreateCampaign($input: CampaignCreateInput!, $key: String!) {
    createCampaign(input: $input, idempotencyKey: $key) {
      campaign { id slug }
      errors { field code message }
    }
  }
`);
const CREATE_GOAL = graphql(`
  mutation CreateGoal($input: GoalCreateInput!, $key: String!) {
    createGoal(input: $input, idempotencyKey: $key) {
      goal { id title state }
      errors { field code message }
    }
  }
`);
const CAMPAIGN = graphql(`
  query Campaign($id: ID, $slug: String) {
    campaign(id: $id, slug: $slug) {
      id
      name
      goals(first: 3) { nodes { title kind metric { key } target { value } } }
      budget { available { amount currency } }
    }
  }
`);

interface Client {
  query<D, V extends Record<string, unknown>>(document: TypedDocumentNode<D, V>, variables: NoInfer<V>): Promise<D>;
  mutate<D, V extends Record<string, unknown>>(document: TypedDocumentNode<D, V>, variables: NoInfer<V>): Promise<D>;
  /** The codes of the errors that a refused query threw. */
  codes(thrown: unknown): unknown[];
}

function there<D>(data: D | null | undefined): D {
  assert(data);
  return data;
}

function apollo(): Client {
  const client = new ApolloClient({ link: new HttpLink({ uri: url, headers }), cache: new InMemoryCache() });
  return {
    query: async (query, variables) => there((await client.query<any, any>({ query, variables })).data),
    mutate: async (mutation, variables) => there((await client.mutate<any, any>({ mutation, variables })).data),
    codes: (thrown) => {
      assert(CombinedGraphQLErrors.is(thrown));
      return thrown.errors.map((each) => each.extensions?.code);
    },
  };
}

function urql(): Client {
  const exchanges = [cacheExchange, fetchExchange];
  const client = createClient({ url, exchanges, fetchOptions: { headers }, preferGetMethod: false });
  const told = <D>(result: { data?: D; error?: Error }) => {
    if (result.error) throw result.error;
    return there(result.data);
  };
  return {
    query: async (document, variables) => told(await client.query(document, variables).toPromise()),
    mutate: async (document, variables) => told(await client.mutation(document, variables).toPromise()),
    codes: (thrown: any) => thrown.graphQLErrors.map((each: any) => each.extensions.code),
  };
}

function graphqlRequest(): Client {
  const client = new GraphQLClient(url, { headers });
  const ask = <D, V extends Record<string, unknown>>(document: TypedDocumentNode<D, V>, variables: NoInfer<V>) =>
    client.request<D>(document, variables);
  return {
    query: ask,
    mutate: ask,
    codes: (thrown) => {
      assert(thrown instanceof ClientError);
      return (thrown.response.errors ?? []).map((each) => each.extensions?.code);
    },
  };
}

async function story(name: string, client: Client) {
  const slug = `${name}-${Date.now()}`;
  const campaign = {
    input: {
      name: "Spring launch", slug, channels: ["EMAIL" as const], territories: ["DE"],
      flight: { start: "2027-01-01", end: "2027-07-01" },
    },
    key: slug,
  };
  const { createCampaign } = await client.mutate(CREATE_CAMPAIGN, campaign);
  assert.deepEqual(createCampaign?.errors, []);
  const id = there(createCampaign.campaign).id;
  // Sent again, it changes nothing twice.
  const again = await client.mutate(CREATE_CAMPAIGN, campaign);
  assert.equal(again.createCampaign?.campaign?.id, id);

  const goal = {
    title: "Three in a hundred click", campaignIds: [id], metric: { key: "email.ctr" }, kind: "REACH" as const,
    target: { value: 3 }, window: { start: "2027-01-01", due: "2027-07-01" },
  };
  const { createGoal } = await client.mutate(CREATE_GOAL, { input: goal, key: `${slug}-goal` });
  assert.deepEqual(createGoal?.errors, []);
  assert.equal(createGoal.goal?.state, "DRAFT");
  const wrong = await client.mutate(CREATE_GOAL, { input: { ...goal, title: "" }, key: `${slug}-wrong` });
  assert.equal(wrong.createGoal?.goal, null);
  assert.equal(wrong.createGoal.errors[0].field, "title");

  const read = await client.query(CAMPAIGN, { slug });
  assert.equal(read.campaign?.id, id);
  assert.deepEqual(read.campaign.goals?.nodes.map((each) => [each.title, each.kind, each.metric.key, each.target.value]), [
    [goal.title, "REACH", "email.ctr", 3],
  ]);
  const codes = await client.query(CAMPAIGN, {}).then(() => assert.fail("it was answered"), client.codes);
  assert.deepEqual(codes, ["BAD_USER_INPUT"]);
}

// Subscriptions are live.mjs's.
for (const [name, client] of Object.entries({ apollo: apollo(), urql: urql(), "graphql-request": graphqlRequest() })) {
  await story(name, client);
  console.log(`${name}: told`);
}
