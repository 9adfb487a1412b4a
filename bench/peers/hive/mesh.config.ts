// Each service's OpenAPI document becomes a subgraph; a campaign is one entity that all of them know by its id.
import { createFederationTransform, defineConfig } from "@graphql-mesh/compose-cli";
import { loadOpenAPISubgraph } from "@omnigraph/openapi";

const services = "http://127.0.0.1:28483";

function subgraph(name: string, key: object) {
  return {
    sourceHandler: loadOpenAPISubgraph(name, { source: `${services}/described/${name}`, endpoint: services }),
    transforms: [createFederationTransform({ Campaign: { key: { fields: "id", ...key } } })],
  };
}

const hanging = ["goals", "budget", "series"].map((name) =>
  subgraph(name, { resolveReference: { fieldName: `${name}ByIds`, keyField: "id", keyArg: "ids" } }),
);

export const composeConfig = defineConfig({ subgraphs: [subgraph("campaigns", {}), ...hanging] });
