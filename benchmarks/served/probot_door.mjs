// Peer: Probot with a handler that does nothing, settings from the environment. Argument: the directory of node_modules.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const entry = createRequire(`${process.argv[2]}/package.json`).resolve("probot");
const { run } = await import(pathToFileURL(entry).href);

await run((app) => {
  app.on("issue_comment.created", async () => {});
});
