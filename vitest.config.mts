import { defineConfig } from "vitest/config";

// Tests import the built package by name, as notebooks do. Two processes kinds: real TensorFlow, and the float64 oracle.
const shared = {
  pool: "forks" as const,
  testTimeout: 120_000,
  server: { deps: { external: [/lib\/dist/, /node_modules/] } },
};

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      {
        test: { ...shared, name: "tensorflow", include: ["test/**/*.test.ts"], exclude: ["test/**/*.float64.test.ts"] },
      },
      {
        test: {
          ...shared,
          name: "float64",
          include: ["test/**/*.float64.test.ts"],
          env: { SECATEUR_BACKEND: "float64" },
        },
      },
    ],
  },
});
