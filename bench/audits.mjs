// Holds a running gateway to GraphQL over HTTP, as npm's graphql-http audits servers; MAYs are told and don't count.
// In a folder of its own: npm i graphql-http graphql; node audits.mjs http://127.0.0.1:8000/graphql TOKEN
import { serverAudits } from "graphql-http";

const [url, token] = process.argv.slice(2);
const fetchFn = (at, { headers, ...rest } = {}) =>
  fetch(at, { ...rest, headers: { ...headers, authorization: `Bearer ${token}` } });
const tally = {};
let failed = 0;
for (const audit of serverAudits({ url, fetchFn })) {
  const result = await audit.fn();
  const level = audit.name.split(" ")[0];
  tally[level] ??= { ok: 0, not: 0 };
  tally[level][result.status === "ok" ? "ok" : "not"] += 1;
  if (result.status !== "ok") {
    failed += level !== "MAY";
    console.log(audit.id, audit.name, "-", result.reason);
  }
}
console.log(JSON.stringify(tally));
process.exit(failed ? 1 : 0);
