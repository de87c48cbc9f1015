// Every page is a folder here, and is built by `vite build --mode NAME` into the package that serves it.
// File names have no hashes, so that a commit shows what has changed, and a build can be compared with it.
import { fileURLToPath } from "node:url";
import { defaultClientConditions } from "vite";
import { defineConfig } from "vitest/config";

const PAGES: Record<string, string> = {
  annotate: "../sam_jax/data_engine/static",
  page: "../sam_jax/export/page",
};

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig(({ mode }) => {
  const isPage = mode in PAGES;
  return {
    root: here(isPage ? `./${mode}` : "."),
    base: "./",
    // The program of onnxruntime is not bundled: its 14 MB lie beside the page.
    resolve: { conditions: ["onnxruntime-web-use-extern-wasm", ...defaultClientConditions] },
    worker: { format: "es", rolldownOptions: { output: { entryFileNames: "[name].js" } } },
    build: {
      // A test builds elsewhere, to compare with what is committed.
      outDir: process.env.WEB_OUTPUT ?? (isPage ? here(PAGES[mode]) : undefined),
      emptyOutDir: true,
      target: "es2022",
      modulePreload: { polyfill: false },
      rolldownOptions: {
        output: {
          entryFileNames: "[name].js",
          chunkFileNames: "[name].js",
          assetFileNames: "[name][extname]",
        },
      },
    },
    test: { include: ["**/*.test.ts"] },
  };
});
