// The headers editor is open and holds the one header that is needed; with a token in it, re-fetch the schema.
ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    // A subscription goes over a socket, whose first message holds these headers.
    fetcher: GraphiQL.createFetcher({ url: "/graphql", subscriptionUrl: `${location.origin.replace("http", "ws")}/graphql` }),
    isHeadersEditorEnabled: true,
    shouldPersistHeaders: false,
    defaultEditorToolsVisibility: "headers",
    defaultHeaders: '{\n  "Authorization": "Bearer <token from /oauth/token>"\n}',
    defaultQuery: "{\n  campaigns(first: 10) {\n    nodes { id name slug state }\n  }\n}\n",
  }),
);
