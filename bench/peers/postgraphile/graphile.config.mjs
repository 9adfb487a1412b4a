// Plain lists, as they cost less than connections; over the one schema that has tables. Pages and watching are off.
import { makePgService } from "postgraphile/adaptors/pg";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";

export default {
  extends: [PostGraphileAmberPreset],
  pgServices: [makePgService({ connectionString: process.env.FLAT_DSN, schemas: ["flat"] })],
  schema: { defaultBehavior: "+list -connection" },
  grafserv: { host: "127.0.0.1", port: 28484, graphiql: false, watch: false },
};
