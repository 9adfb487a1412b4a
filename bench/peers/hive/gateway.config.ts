// Pages and looking for a newer graph are off: nobody here asks for either.
import { defineConfig } from "@graphql-hive/gateway";

export const gatewayConfig = defineConfig({
  supergraph: "./supergraph.graphql",
  polling: 0,
  graphiql: false,
  landingPage: false,
});
