// The story's documents are typed from the committed graph: SCHEMA names the file.
import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: process.env.SCHEMA,
  documents: "story.ts",
  generates: {
    "generated/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: { useTypeImports: true, scalars: { Date: "string", DateTime: "string", Decimal: "string" } },
    },
  },
  importExtension: ".js",
  emitLegacyCommonJSImports: false,
};

export default config;
