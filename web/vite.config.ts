import { defineConfig } from "vite";

// `npm run dev` shows a running server's data: PENSTOCK_SERVER says which.
const server = process.env["PENSTOCK_SERVER"] ?? "http://127.0.0.1:8080";
const paths = ["/v1", "/metrics", "/health", "/subjects"];

export default defineConfig({
  base: "./",
  esbuild: { jsx: "automatic", jsxImportSource: "preact", legalComments: "none" },
  build: {
    target: "es2022",
    outDir: "dist",
    assetsInlineLimit: 0, // the content security policy lets in nothing inline
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  preview: { proxy: Object.fromEntries(paths.map((path) => [path, server])) },
  server: { proxy: Object.fromEntries(paths.map((path) => [path, server])) },
});
